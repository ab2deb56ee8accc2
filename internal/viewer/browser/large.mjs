// Measures the page on a trail of millions: `make browser-large` runs it in a browser against
// the dataset of `make bench`, whose largest trail has half of all entries. It prints a table
// for docs/performance.md. Nothing is asserted: a loaded machine is slow, not wrong.
//
// Times are taken within the page, from the click, or the step that a click makes, until the
// rows stand there with their total, the chart, the commonest values, the entry's proof verified.
import { launch } from '../../docs/browser/page.mjs'

const host = process.env.OCORE_AUDIT_URL
const { TOKEN } = process.env
if (!host || !TOKEN) throw new Error('OCORE_AUDIT_URL or TOKEN is missing: run this by `make browser-large`')

const call = async path => {
  const answer = await fetch(`${host}/api${path}`, { headers: { Authorization: `Bearer ${TOKEN}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}
const valuesOf = async (field, query = '') => (await call(`/audit-logs/facets?field=${field}${query}`)).items.map(({ value }) => value)

let drawn = 7 // the same numbers each time
const random = below => (drawn = (drawn * 48271) % 2147483647) % below

const measured = new Map() // name → times, each of { rows, chart, values, proof }
async function measure(name, page, act) {
  const times = await page.evaluate(async ({ click, go }) => {
    const frame = () => new Promise(requestAnimationFrame)
    const within = selector => document.querySelector(selector)
    const begun = performance.now()
    if (click) within(click).click()
    if (go) within('audit-viewer').go(go)
    await within('audit-viewer').updateComplete
    const times = {}
    const until = async (name, there) => {
      while (!there()) {
        if (performance.now() - begun > 20_000) throw new Error(`no ${name} after 20 seconds`)
        await frame()
      }
      times[name] = performance.now() - begun
    }
    if (go?.entry) await Promise.all([until('rows', () => within('.drawer .sentence')), until('proof', () => within('.drawer .evidence.verified'))])
    else {
      await Promise.all([
        until('rows', () => within('.total strong') && within('.entries[aria-busy=false] tbody tr, main .notice h3')),
        ...(go?.filter || click ? [until('chart', () => within('.activity[aria-busy=false] time-chart'))] : []),
        ...(go?.filter && within('.facets[open]') ? [until('values', () => within('.facets li'))] : []),
      ])
    }
    return times
  }, act)
  measured.set(name, [...(measured.get(name) ?? []), times])
}

const browser = await launch()
const door = 'the page, until it takes a token'
async function open() {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' })).newPage()
  await page.goto(`${host}/ui/`)
  await page.locator('#token').fill(TOKEN)
  const rows = await page.evaluate(() => performance.getEntriesByType('navigation')[0].loadEventEnd)
  measured.set(door, [...(measured.get(door) ?? []), { rows }])
  return page
}

const everything = { include: {}, exclude: {}, range: { kind: 'all' } }
const filter = (include = {}, exclude = {}, range = everything.range) => ({ filter: { include, exclude, range }, page: 1, entry: undefined })

for (let i = 0; i < 6; i++) {
  const page = await open()
  await measure(i ? 'opening' : 'opening, the first since the service started', page, { click: '.door button.main' })
  await page.context().close()
}

const page = await open()
await measure('opening', page, { click: '.door button.main' })
const { total } = await call('/audit-logs?per_page=1')
const last = Math.ceil(total / 50)
for (let i = 2; i <= 6; i++) await measure('the next page', page, { go: { page: i } })
for (let i = 0; i < 15; i++) await measure('any page, by its number', page, { go: { page: 1 + random(last) } })
await measure('the oldest page', page, { go: { page: last } })

const { start, end } = await call('/audit-logs/histogram?buckets=1').then(({ items, end }) => ({ start: Date.parse(items[0].start), end: Date.parse(end) }))
const between = (days, at = start + random(end - start)) => ({ kind: 'between', start: new Date(at).toISOString(), end: new Date(at + days * 86_400_000).toISOString() })
const [actions, types, users, resources] = await Promise.all(['action', 'resource_type', 'user_id', 'resource_id'].map(field => valuesOf(field)))
const old = `&end_date=${new Date(start + (end - start) / 3).toISOString()}`
const rare = (await valuesOf('resource_id', old)).slice(-10) // of the newest 10,000 before then: most stand there a few times

for (const action of actions.slice(0, 10)) {
  await measure('one filter: an action', page, { go: filter({ action }) })
  for (let i = 0; i < 2; i++) await measure('any page of it', page, { go: { page: 1 + random(Math.ceil(await page.evaluate(() => Number(document.querySelector('.total strong').textContent.replaceAll(',', ''))) / 50)) } })
}
for (const type of types.slice(0, 6)) await measure('one filter: a resource type', page, { go: filter({ resource_type: type }) })
for (const user of users.slice(0, 10)) await measure('one filter: a user', page, { go: filter({ user_id: user }) })
for (const id of [...resources.slice(0, 5), ...rare]) await measure('one filter: a resource', page, { go: filter({ resource_id: id }) })
for (let i = 0; i < 10; i++) await measure('two filters', page, { go: filter({ action: actions[i % 5], user_id: users[random(users.length)] }) })
for (let i = 0; i < 10; i++) await measure('three filters and a month', page, { go: filter({ action: actions[i % 5], resource_type: types[i % 3], user_id: users[random(users.length)] }, {}, between(30)) })
for (let i = 0; i < 8; i++) await measure('what is left without some actions', page, { go: filter({}, { action: actions.slice(i, i + 1 + i % 3) }) })
for (let i = 0; i < 8; i++) await measure('a user without some actions', page, { go: filter({ user_id: users[i] }, { action: actions.slice(0, 3) }) })
for (const days of [1, 7, 30, 90]) for (let i = 0; i < 3; i++) await measure('a stretch of time', page, { go: filter({}, {}, between(days)) })
for (let i = 0; i < 10; i++) await measure('an action in a month', page, { go: filter({ action: actions[i] }, {}, between(30)) })

await page.evaluate(() => document.querySelector('audit-viewer').go({ filter: { include: {}, exclude: {}, range: { kind: 'all' } }, page: 1 }))
await page.locator('.facets > summary').click()
await page.locator('.facets li').first().waitFor()
for (let i = 0; i < 10; i++) await measure('one filter, with the commonest values open', page, { go: filter({ action: actions[9 - i] }, {}, between(365, start)) })

await page.evaluate(() => document.querySelector('audit-viewer').go({ filter: { include: {}, exclude: {}, range: { kind: 'all' } }, page: 1 }))
const { items } = await call(`/audit-logs?per_page=10&page=${Math.ceil(last / 2)}`)
for (const { id } of items) {
  await measure('an entry', page, { go: { entry: id } })
  await page.evaluate(() => document.querySelector('audit-viewer').go({ entry: undefined }))
}
await browser.close()

const middle = numbers => numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)]
const shown = times => (times.length === 0 ? '–' : times.length === 1 ? `${Math.round(times[0])}` : `${Math.round(middle(times))} (${Math.round(Math.max(...times))})`)
console.log(`| ${total.toLocaleString('en')} entries in the trail | times | rows and total, ms | chart, ms | commonest values, ms | proof verified, ms |\n|---|---:|---:|---:|---:|---:|`)
for (const [name, all] of measured) {
  const of = part => shown(all.flatMap(times => times[part] ?? []))
  console.log(`| ${name} | ${all.length} | ${of('rows')} | ${of('chart')} | ${of('values')} | ${of('proof')} |`)
}
