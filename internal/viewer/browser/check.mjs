// Holds the page at /ui/ in a real browser against what is promised of it. Run it by
// `make browser`; ONLY=part of a step's name runs those alone, and
// LOOKS='light 1280,dark 380' at those looks alone.
//
// Each step is a function that throws, or whose page notes faults; all steps run, so that
// one run tells everything. Screenshots of each state are left in screenshots/: look at
// them after a change.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { launch, open, violations } from '../../docs/browser/page.mjs'

const host = process.env.OCORE_AUDIT_URL
const { TOKEN, TOKEN_OTHER, TOKEN_VIEWER, TOKEN_EMITTER, TOKEN_SEVERAL } = process.env
assert(host && TOKEN, 'OCORE_AUDIT_URL or TOKEN is missing: run this by `make browser`')

const screenshots = new URL('screenshots/', import.meta.url).pathname
await mkdir(screenshots, { recursive: true })
const looks = ['light', 'dark'].flatMap(colorScheme => [1280, 380].map(width => ({ colorScheme, width })))
  .filter(look => !process.env.LOOKS || process.env.LOOKS.split(',').includes(`${look.colorScheme} ${look.width}`))
const nameOf = ({ colorScheme = 'light', width = 1280 }) => `${colorScheme}-${width}`

const call = async (path, { token = TOKEN, method = 'GET', body, headers } = {}) => {
  const answer = await fetch(`${host}/api${path}`, {
    method, headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }), ...headers }, ...(body && { body }),
  })
  assert(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? '' : await answer.text()}`)
  return answer
}
const record = async body => (await call('/audit-logs', { method: 'POST', body })).json()
const totalOf = async (query = '') => (await (await call(`/audit-logs?per_page=1${query}`)).json()).total

// More moments of a resource than a page of its history has.
for (let n = 1; n <= 25; n++) await record(JSON.stringify({ id: `long-${n}`, action: 'server.updated', resourceType: 'server', resourceId: 'long', userId: 'long@acme.example', beforeState: { n: n - 1 }, afterState: { n } }))

// Entries whose states say what can change, in digits that no double holds.
const before = '{"serial":9007199254740993,"price":1.10,"limits":{"cpu":4,"gone":true},"tags":["a","b"],"10":1,"9":2}'
const after = '{"serial":9007199254740992,"price":1.1,"limits":{"cpu":8},"tags":["new","a","b"],"10":1,"9":2,"note":"<b>bold</b>"}'
for (const [id, action, from, to] of [['ui-1', 'server.created', undefined, before], ['ui-2', 'server.updated', before, after], ['ui-3', 'server.deleted', after, undefined]]) {
  await record(`{"id":"${id}","action":"${action}","resourceType":"server","resourceId":"../ui <01>","resourceName":"Shop & front","userId":"ui@acme.example","userName":"Ada Lovelace"
    ${from ? `,"beforeState":${from}` : ''}${to ? `,"afterState":${to}` : ''}}`)
}

// Nothing in it may mean anything to a shell.
const awkward = `it's "$(touch owned)" a, b`
await record(JSON.stringify({ id: 'ui-4', action: 'server.updated', resourceType: 'server', resourceId: '..', userId: awkward }))

const browser = await launch()
let failures = 0
let ran = 0

// step opens a page, does what is to be tried on it, and tells what went wrong.
async function step(name, act, { look = {}, address = `${host}/ui/`, on = browser } = {}) {
  if (process.env.ONLY && !name.includes(process.env.ONLY)) return
  ran++
  const begun = Date.now()
  const page = await open(on, address, look)
  page.setDefaultTimeout(15_000)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  page.expected = []
  page.shot = async state => {
    await page.waitForTimeout(100)
    await page.screenshot({ path: `${screenshots}${state}-${nameOf(look)}.png` })
    const repeated = state === 'trail' ? [] : ['.entries tbody tr:nth-child(n+6)'] // rows are alike: all of them are looked at once
    page.faults.push(...(await violations(page, ...repeated)).map(violation => `${state}: ${violation}`))
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (overflow > 0) page.faults.push(`${state}: the page is ${overflow} px too wide`)
  }
  try {
    await act(page)
    const kept = await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href]))
    for (const token of [TOKEN, TOKEN_OTHER, TOKEN_VIEWER, TOKEN_EMITTER, TOKEN_SEVERAL]) assert(!kept.includes(token), 'a token is kept or in the address')
  } catch (error) {
    page.faults.push(error.message)
    await page.screenshot({ path: `${screenshots}failed.png` })
  }
  // Chromium tells of each refused answer on the console: a step says which it asked for. What
  // the page itself gave up, since something else is wanted by now, is no fault.
  const faults = page.faults.filter(fault => ![...page.expected, /^failed request: .* net::ERR_ABORTED$/].some(pattern => pattern.test(fault)))
  await page.context().close()
  console.log(`${faults.length ? 'FAIL' : 'ok'}  ${name} (${Date.now() - begun} ms)`)
  for (const fault of faults.slice(0, 20)) console.log(`      ${fault}`)
  failures += faults.length
}

const refusedWith = status => new RegExp(`console error: Failed to load resource: the server responded with a status of ${status}`)
const givenUp = /^failed request: /

async function signIn(page, token = TOKEN) {
  await page.locator('#token').fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}
const rows = page => page.locator('.entries tbody tr')
const total = page => page.locator('.total strong')
const loaded = async page => {
  await page.locator('.entries:not([aria-busy=true]) tbody tr, main .notice:not(.quiet)').first().waitFor()
  await page.waitForFunction(() => !document.querySelector('main :is(.spinner, [aria-busy=true])'))
}
const chosen = page => page.locator('select.view, select.range').evaluateAll(all => all.map(select => select.selectedOptions[0].text))
const clipboard = page => page.evaluate(() => navigator.clipboard.readText())
const shows = async (page, number) => page.waitForFunction(n => document.querySelector('.total strong')?.textContent === n, number.toLocaleString('en'))
const openEntry = async (page, id) => {
  await page.goto(`${host}/ui/?entry=${id}`)
  await signIn(page)
  await page.locator('.evidence').waitFor()
}
// What somebody without a mouse does: keys are pressed, and what has the focus must be seen.
const keyboard = page => {
  const press = key => page.keyboard.press(key)
  const at = () => page.evaluate(() => {
    const on = document.activeElement
    const { outlineStyle, outlineWidth } = getComputedStyle(on)
    const name = on.getAttribute('aria-label') ?? (on.labels?.[0] ?? on).textContent.trim().replace(/\s+/g, ' ').slice(0, 40)
    return { name: `${on.tagName} ${name}`, seen: on === document.body || (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2) }
  })
  const tabTo = async pattern => {
    for (let stop = 0; stop < 200; stop++) {
      await press('Tab')
      const { name, seen } = await at()
      assert(seen, `the focus can't be seen on ${name}`)
      if (pattern.test(name)) return
    }
    assert.fail(`Tab doesn't reach ${pattern}`)
  }
  return { press, tabTo, focused: async () => (await at()).name }
}
// run does what a printed command does in a shell where TOKEN is set and the binary is on the path.
const bin = new URL('../../../bin', import.meta.url).pathname
const run = async (command, cwd) => (await promisify(execFile)('bash', ['--norc', '-ec', command], { cwd, env: { ...process.env, PATH: `${bin}:${process.env.PATH}` }, maxBuffer: 1 << 28 })).stdout
// psql changes what is stored behind the service's back.
const psql = async statement => {
  const [password, port] = await Promise.all(['superuser.password', 'port'].map(name => readFile(`${process.env.DATA_DIR}/postgres/${name}`, 'utf8')))
  await promisify(execFile)('psql', ['-h', '127.0.0.1', '-p', port.trim(), '-U', 'postgres', '-d', 'ocore_audit', '-v', 'ON_ERROR_STOP=1', '-c', statement], { env: { ...process.env, PGPASSWORD: password.trim() } })
}
const words = async locator => (await locator.innerText()).replace(/\s+/g, ' ').trim()
const evidence = page => words(page.locator('.evidence h3'))

await step('the trail is there with its exact total, in light and dark, wide and narrow', async page => {
  await page.shot('door')
  await signIn(page)
  await loaded(page)
  await shows(page, await totalOf())
  assert.equal(await rows(page).count(), 50)
})

// Two looks at a time, each in a browser of its own, whose clipboard and focus are its own:
// most of a step is waiting. Nothing in here records an entry, or totals would be others.
const waiting = [...looks]
await Promise.all([1, 2].map(async () => {
  for (let look = waiting.shift(); look; look = waiting.shift()) {
    const on = await launch()
    await tryAll(look, on)
    await on.close()
  }
}))

async function tryAll(look, on) {
  await step(`everything by mouse, ${nameOf(look)}`, async page => {
    await page.shot('door')
    await signIn(page)
    await loaded(page)
    const all = await totalOf()
    await shows(page, all)
    await page.shot('trail')

    // Pages.
    const pager = page.locator('.pager').first()
    await pager.getByRole('button', { name: 'Older' }).click()
    await page.waitForFunction(() => location.search.includes('page=2'))
    await loaded(page)
    await pager.locator('input').fill('3')
    await pager.locator('input').press('Enter')
    await page.waitForFunction(() => location.search.includes('page=3'))
    await loaded(page)
    const third = await (await call('/audit-logs?page=3&per_page=50')).json()
    assert.equal(await rows(page).first().locator('time').getAttribute('datetime'), third.items[0].createdAt)
    await pager.getByRole('button', { name: 'Oldest' }).click()
    await page.waitForFunction(last => location.search.includes(`page=${last}`), Math.ceil(all / 50))
    await loaded(page)
    assert.equal(await rows(page).count(), all % 50 || 50)
    await pager.getByRole('button', { name: 'Newest' }).click()
    await loaded(page)

    // A value: only it, not it, without.
    await rows(page).nth(1).locator('td.action button').click()
    await page.shot('menu')
    const action = await rows(page).nth(1).locator('td.action button').innerText()
    await page.getByRole('button', { name: 'Show only this' }).click()
    await shows(page, await totalOf(`&action=${action}`))
    await loaded(page)
    await rows(page).first().locator('td.user button').click()
    const user = await page.locator('#value-menu p').innerText()
    await page.getByRole('button', { name: 'Leave this out' }).click()
    await shows(page, await totalOf(`&action=${action}&exclude_user_id=${encodeURIComponent(user)}`))
    await page.shot('filtered')
    assert.equal(await page.locator('.chip').count(), 2)
    await page.getByRole('button', { name: `Remove Action is ${action}` }).click()
    await shows(page, await totalOf(`&exclude_user_id=${encodeURIComponent(user)}`))
    await page.goBack()
    await shows(page, await totalOf(`&action=${action}&exclude_user_id=${encodeURIComponent(user)}`))
    await page.getByRole('button', { name: 'Clear all' }).click()
    await shows(page, all)

    // A typed value, with completion.
    await page.locator('.add select').first().selectOption('resource_type')
    await page.locator('.add select').nth(1).selectOption('not')
    await page.locator('.add input').fill('ser')
    await page.waitForFunction(() => [...document.querySelectorAll('#completions option')].some(option => option.value === 'server'))
    await page.locator('.add input').fill('server')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await shows(page, await totalOf('&exclude_resource_type=server'))
    await page.getByRole('button', { name: 'Clear all' }).click()

    // Views, presets and bounds.
    await page.locator('select.view').selectOption({ label: 'Failed logins' })
    await shows(page, await totalOf('&action=auth.login_failed'))
    await page.locator('select.view').selectOption({ label: 'Permission changes' })
    await shows(page, await totalOf('&action=member.role_changed'))
    await page.locator('select.view').selectOption({ label: 'Deleted servers' })
    await shows(page, await totalOf('&action=server.deleted'))
    await page.locator('select.view').selectOption({ label: 'Everything' })
    await shows(page, all)
    assert.deepEqual(await chosen(page), ['Everything', 'All time'])
    await page.locator('select.view').selectOption({ label: 'Failed logins' })
    await page.locator('select.range').selectOption('7d')
    await page.waitForFunction(() => location.search.includes('last=7d'))
    await loaded(page)
    assert((await page.locator('.chip.time').innerText()).startsWith('Last 7 days'))
    assert.deepEqual(await chosen(page), ['Failed logins', 'Last 7 days'])
    await page.goBack()
    await page.waitForFunction(() => !location.search.includes('last='))
    await loaded(page)
    assert.deepEqual(await chosen(page), ['Failed logins', 'All time'])
    await page.getByRole('button', { name: 'Clear all' }).click()
    await shows(page, all)
    assert.deepEqual(await chosen(page), ['Everything', 'All time'], 'what was chosen before is shown as what is')
    await page.locator('.bounds > summary').click()
    await page.locator('.bounds input').first().fill('2026-11-01T00:00:00')
    await page.shot('bounds')
    await page.locator('.bounds').getByRole('button', { name: 'Apply' }).click()
    await page.waitForFunction(() => location.search.includes('start_date=2026-1'))
    await loaded(page)
    await page.getByRole('button', { name: 'Clear all' }).click()
    await shows(page, all)
    await loaded(page) // the chart is asked for behind the rows, and drawn anew when it comes

    // The histogram: a stretch is dragged over, or chosen in its table.
    const over = page.locator('.u-over')
    const box = await over.boundingBox()
    await page.mouse.move(box.x + box.width * 0.3, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 })
    await page.mouse.up()
    await page.waitForFunction(() => location.search.includes('end_date='))
    await loaded(page)
    await page.getByRole('button', { name: 'Clear all' }).click()
    await loaded(page)
    await page.getByText('Activity as a table').click()
    const [shown] = [Number((await page.locator('.numbers tbody td:nth-child(2)').first().innerText()).replace(',', ''))]
    await page.shot('activity')
    await page.locator('.numbers').getByRole('button', { name: /Show the entries/ }).first().click()
    await shows(page, shown)
    await page.getByRole('button', { name: 'Clear all' }).click()
    await loaded(page)

    // The commonest values.
    await page.locator('.facets summary').click()
    await page.locator('.facets li').first().waitFor()
    await page.locator('.facets select').selectOption('user_id')
    await page.locator('.facets li button[data-field=user_id]').first().waitFor()
    await page.shot('facets')
    const often = page.locator('.facets li').first()
    const times = Number((await often.locator('> span').innerText()).replace(',', ''))
    await often.locator('button').click()
    await page.getByRole('button', { name: 'Show only this' }).click()
    await shows(page, times)
    await page.getByRole('button', { name: 'Clear all' }).click()
    await loaded(page)
    await page.locator('.facets summary').click()

    // Copies.
    const copy = async name => {
      await page.locator('.chooser > summary', { hasText: 'Copy' }).click()
      await page.getByRole('button', { name }).click()
      await page.locator('.toast[data-said]').waitFor()
      await page.locator('.chooser > summary', { hasText: 'Copy' }).click()
      return clipboard(page)
    }
    assert.equal(await copy('Copy link'), `${host}/ui/?columns=user%2Caction%2Cresource%2Cchanges%2Cip`)
    const curl = await copy('Copy as curl')
    assert.match(curl, /^curl -sS -H "Authorization: Bearer \$TOKEN" 'http.*\/api\/audit-logs\?page=1&per_page=50'$/)
    assert.equal(JSON.parse(await copy('Copy this page as JSON')).total, all)

    // Columns and density are remembered; the address brings the rest back.
    await page.locator('.chooser > summary', { hasText: 'Columns' }).click()
    await page.getByLabel('Position').check()
    await page.getByLabel('Compact rows').check()
    await page.shot('columns')
    await page.locator('select.view').selectOption({ label: 'Failed logins' })
    await page.reload()
    await signIn(page)
    await shows(page, await totalOf('&action=auth.login_failed'))
    await loaded(page)
    assert.equal(await rows(page).first().locator('td.position').count(), 1)
    assert.equal(await page.locator('table.compact').count(), 1)

    // Times and themes.
    await page.locator('.settings > summary').click()
    await page.getByLabel('Times in').selectOption('UTC')
    const utc = await rows(page).first().locator('time').innerText()
    await page.getByLabel('Times in').selectOption('other')
    await page.locator('.settings input[list]').fill('Asia/Kathmandu')
    await page.locator('.settings input[list]').press('Enter')
    await page.waitForFunction(utc => document.querySelector('.entries time').textContent !== utc, utc)
    assert.equal(Date.parse(`${utc.replace(' ', 'T')}+05:45`) < Date.parse(`${(await rows(page).first().locator('time').innerText()).replace(' ', 'T')}+05:45`), true)
    await page.getByLabel('Theme').selectOption(look.colorScheme === 'dark' ? 'light' : 'dark')
    await page.shot('other-theme')
    await page.getByLabel('Theme').selectOption('system')

    await page.getByRole('button', { name: 'Keys' }).click()
    await page.shot('help')
    await page.locator('#help').getByRole('button', { name: 'Close' }).click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.locator('#token').waitFor()
  }, { look, on })

  await step(`an entry by mouse, ${nameOf(look)}`, async page => {
    await signIn(page)
    await loaded(page)
    await page.locator('.entries tr', { hasText: 'Shop & front' }).nth(1).locator('a.open').click()
    await page.locator('.evidence').waitFor()
    assert.equal(await page.locator('.sentence').innerText(), 'Ada Lovelace updated server “Shop & front”')
    assert.equal(await evidence(page), '✓ Verified')
    await page.shot('entry')
    const changes = await page.locator('section .changes tbody tr').evaluateAll(all => all.map(row => row.innerText.replace(/\s+/g, ' ')))
    assert.deepEqual(changes, [
      'serial ~ changed 9007199254740993 9007199254740992', 'price ~ changed 1.10 1.1', 'limits.cpu ~ changed 4 8', 'limits.gone − removed true nothing',
      'tags[0] + added nothing "new"', 'note + added nothing "<b>bold</b>"',
    ])
    await page.locator('.whole > summary').click()
    await page.locator('.whole > summary').evaluate(element => element.scrollIntoView())
    await page.shot('states')
    await page.locator('a.badge').click()
    await page.locator('.keys-of > summary').click()
    await page.shot('evidence')
    assert.match(await page.locator('.keys-of code.block').last().innerText(), /^ocore-audit verify entry proof-ui-2\.json --key audit\.ocore\.dev\/trails\/acme\+/)
    await page.getByRole('button', { name: 'Pin this key' }).click()
    await page.getByText('signed by a key that you pinned').waitFor()
    await page.locator('details.history > summary').click()
    await page.locator('.history .moments li').nth(2).waitFor()
    assert.equal(await page.locator('.history .moments li').count(), 3)
    await page.locator('.history li').nth(2).getByLabel(/Compare from/).check()
    await page.locator('.history li').nth(1).getByLabel(/Compare to/).check()
    await page.locator('.history .changes').waitFor()
    assert.equal(await page.locator('.history .changes tbody tr').count(), 6)
    await page.locator('details.around > summary').click()
    await page.locator('.around .moments li').nth(2).waitFor()
    await page.locator('details.history > summary').evaluate(element => element.scrollIntoView())
    await page.shot('history')
    await page.locator('details.raw > summary').click()
    assert.match(await page.locator('.raw pre').innerText(), /"serial": 9007199254740993,\n *"price": 1\.10,/)
    await page.locator('details.raw > summary').evaluate(element => element.scrollIntoView())
    await page.shot('raw')
    const bar = page.locator('.drawer-bar')
    await bar.getByRole('button', { name: 'Copy link' }).click()
    assert.equal(await clipboard(page), `${host}/ui/?entry=ui-2`)
    await bar.getByRole('button', { name: 'Copy as curl' }).click()
    assert.match(await clipboard(page), /audit-logs\/entries\/ui-2'$/)
    await bar.getByRole('button', { name: 'Copy as JSON' }).click()
    assert.match(await clipboard(page), /9007199254740993/)
    const saving = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Save the proof' }).click()
    assert.equal(JSON.parse(await readFile(await (await saving).path())).entry.id, 'ui-2')
    await bar.getByRole('button', { name: 'Older' }).click()
    await page.waitForFunction(() => document.querySelector('.sentence')?.textContent.includes('created server'))
    await page.locator('.evidence').waitFor()
    await page.shot('created')
    await bar.getByRole('button', { name: 'Close' }).click()
    await page.waitForFunction(() => !location.search.includes('entry='))
  }, { look, on })

  await step(`everything by keyboard alone, ${nameOf(look)}`, async page => {
    const { press, focused, tabTo } = keyboard(page)
    await page.keyboard.insertText(TOKEN) // the field has the focus
    await press('Enter')
    await loaded(page)
    await press('?')
    await page.locator('#help[open]').waitFor()
    await press('Escape')
    await press('j')
    await press('j')
    await press('ArrowDown')
    await press('k')
    assert.equal(await page.evaluate(() => [...document.querySelectorAll('.entries tbody tr')].indexOf(document.activeElement.closest('tr'))), 1)
    await press('Enter')
    await page.locator('.evidence').waitFor()
    const first = page.url()
    await press(']')
    await page.waitForFunction(first => location.href !== first, first)
    await page.locator('.evidence').waitFor()
    await press('[')
    await page.waitForFunction(first => location.href === first, first)
    await tabTo(/^SUMMARY History of this resource/)
    await press('Enter')
    await press('Escape')
    await page.waitForFunction(() => !document.querySelector('dialog[open]'))
    assert.match(await focused(), /^A 2026/)
    await tabTo(/^BUTTON .*\./) // the action of the same row
    await press('Enter')
    await page.waitForFunction(() => document.activeElement.matches('#value-menu button'))
    await press('ArrowDown')
    await press('Enter')
    await page.locator('.chip.exclude').waitFor()
    await loaded(page)
    await press('/')
    assert.match(await focused(), /^INPUT/)
    await page.keyboard.type('auth.login')
    await press('Enter')
    await page.locator('.chip.include').waitFor()
    await loaded(page)
    await page.evaluate(() => document.activeElement.blur())
    await press(']')
    await page.waitForFunction(() => location.search.includes('page=2'))
    await loaded(page)
    await press('[')
    await page.waitForFunction(() => !location.search.includes('page=2'))
    await loaded(page)
    await press('e')
    await page.locator('export-dialog dialog[open]').waitFor()
    await press('Escape')
    await tabTo(/^SUMMARY Display/)
    await press('Enter')
    await tabTo(/^INPUT/)
    await press('Space') // single-key shortcuts off
    await page.evaluate(() => document.activeElement.blur())
    await press('?')
    assert.equal(await page.locator('#help[open]').count(), 0)
  }, { look, on })

  await step(`what has no key of its own by keyboard alone, ${nameOf(look)}`, async page => {
    const { press, focused, tabTo } = keyboard(page)
    const signInByKeys = async () => {
      await page.locator('#token:focus').waitFor()
      await page.keyboard.insertText(TOKEN)
      await press('Enter')
    }
    const addressHas = part => page.waitForFunction(part => location.search.includes(part), part)
    await signInByKeys()
    await loaded(page)
    const all = await totalOf()

    // Views, times, and what takes a filter away.
    await tabTo(/^SELECT View/)
    await press('ArrowDown')
    await addressHas('action=auth.login_failed')
    await loaded(page)
    await tabTo(/^SELECT Time/)
    await press('ArrowDown')
    await addressHas('last=15m')
    await loaded(page)
    await tabTo(/^BUTTON Remove the time range/)
    await press('Enter')
    await shows(page, await totalOf('&action=auth.login_failed'))
    await loaded(page)
    await tabTo(/^BUTTON Clear all/)
    await press('Enter')
    await shows(page, all)
    await loaded(page)

    // A stretch of the chart, and one of the commonest values.
    await tabTo(/^SUMMARY Activity as a table/)
    await press('Enter')
    await tabTo(/^BUTTON Show the entries from/)
    await press('Enter')
    await page.locator('.chip.time').waitFor()
    await loaded(page)
    await tabTo(/^SUMMARY Most frequent values/)
    await press('Enter')
    await page.locator('.facets li').first().waitFor()
    await press('Tab')
    await press('Tab')
    await press('Enter')
    await page.locator('#value-menu button:focus').waitFor()
    await press('Enter')
    await page.locator('.chip.include').waitFor()
    await loaded(page)

    // Copies, columns, density, an export.
    await tabTo(/^SUMMARY Copy/)
    await press('Enter')
    await tabTo(/^BUTTON Copy link/)
    await press('Enter')
    await page.locator('.toast[data-said]').waitFor()
    assert.match(await clipboard(page), /action=/)
    await tabTo(/^SUMMARY Columns/)
    await press('Enter')
    await tabTo(/^INPUT Position/)
    await press('Space')
    await page.locator('td.position').first().waitFor()
    await tabTo(/^INPUT Compact rows/)
    await press('Space')
    await page.locator('table.compact').waitFor()
    await tabTo(/^BUTTON Export…/)
    await press('Enter')
    await page.locator('.big strong').waitFor()
    await tabTo(/^BUTTON Export$/)
    const saving = page.waitForEvent('download')
    await press('Enter')
    await saving
    await page.getByText('all that were announced').waitFor()
    await press('Escape')

    // Two moments of a resource's history; the admin trail; a theme.
    await page.goto(`${host}/ui/?entry=ui-2`)
    await signInByKeys()
    await page.locator('.evidence').waitFor()
    await tabTo(/^SUMMARY History of this resource/)
    await press('Enter')
    await page.locator('.history .changes').waitFor()
    await tabTo(/^INPUT Compare from/)
    await press('ArrowUp')
    await page.getByText('A and B are the same moment').waitFor()
    await press('ArrowUp')
    await page.locator('.history').getByText('recorded no state after it').waitFor()
    await press('Escape')
    await page.locator('dialog.drawer[open]').waitFor({ state: 'detached' })
    await loaded(page)
    await tabTo(/^A Admin trail/)
    await press('Enter')
    await loaded(page)
    await tabTo(/^INPUT Search in details/)
    await page.keyboard.type('exported')
    await press('Enter')
    await addressHas('admin_search=exported')
    await tabTo(/^SUMMARY Display/)
    await press('Enter')
    await tabTo(/^SELECT Theme/)
    await press('ArrowDown')
    await page.waitForFunction(() => document.documentElement.dataset.theme === 'light')
    assert.match(await focused(), /^SELECT Theme/)
  }, { look, on })

  await step(`each state says what it is, ${nameOf(look)}`, async page => {
    page.expected = [refusedWith('401|403|404|500|503'), givenUp]
    await signIn(page, 'not-a-token')
    await page.getByText('Your token is not accepted').waitFor()
    await page.shot('refused')
    await signIn(page, TOKEN_EMITTER)
    await page.getByText('You may not see the entries').waitFor()
    await page.shot('forbidden')
    await page.getByRole('button', { name: 'Sign out' }).click()

    await signIn(page, TOKEN_OTHER)
    await page.getByText('Nothing was recorded yet').waitFor()
    await page.shot('nothing-yet')
    await page.getByRole('button', { name: 'Sign out' }).click()

    await signIn(page, TOKEN_SEVERAL)
    await page.getByText('Whose trail?').waitFor()
    await page.shot('which')
    await page.getByRole('button', { name: 'acme' }).click()
    await loaded(page)
    await page.locator('.organization select').selectOption('globex')
    await page.getByText('Nothing was recorded yet').waitFor()
    assert.match(page.url(), /org=globex/)
    await page.locator('.organization select').selectOption('acme')
    await shows(page, await totalOf())
    await page.getByRole('button', { name: 'Sign out' }).click()

    await page.goto(`${host}/ui/?action=nobody.did`)
    await signIn(page)
    await page.getByText('Nothing matches').waitFor()
    await page.shot('no-match')
    await page.goto(`${host}/ui/?page=99999`)
    await signIn(page)
    await page.getByText('There is no page 99,999').waitFor()
    await page.shot('no-page')

    for (const [id, said] of [['nobody', "It isn't here"], ['..', 'No entry can have the id ..']]) {
      await page.goto(`${host}/ui/?entry=${id}`)
      await signIn(page)
      await page.locator('dialog.drawer').getByText(said).waitFor()
      if (id === 'nobody') await page.shot('no-entry')
    }
    await page.goto(`${host}/ui/?page=99999`)
    await signIn(page)
    await page.getByText('There is no page 99,999').waitFor()

    // Slow: it says so after a second, and can be cancelled.
    const listing = /\/api\/audit-logs\?/
    await page.route(listing, async route => { await new Promise(done => setTimeout(done, 4000)); await route.continue().catch(() => {}) })
    await page.getByRole('button', { name: 'Go to the newest' }).click()
    await page.getByText('Still loading the entries').waitFor()
    assert.equal(await page.locator('.total strong').count(), 0, 'an old total is shown as the new one')
    await page.shot('slow')
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('You cancelled this').waitFor()
    await page.unroute(listing)

    // Failed: the problem, its request id, and once more.
    let fail = true
    await page.route(listing, route => fail
      ? route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ type: 'x/unavailable', title: 'Unavailable', status: 503, detail: 'the database is not reachable', requestId: 'req-42' }) })
      : route.continue())
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('the database is not reachable').waitFor()
    assert.match(await page.locator('.notice.failed').innerText(), /req-42/)
    assert.equal(await rows(page).count(), 0, 'entries stand beside a failure')
    await page.shot('failed')
    fail = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await shows(page, await totalOf())

    // Expired while somebody reads: the same is there after signing in again.
    await page.route(listing, route => route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify({ type: 'x/unauthorized', title: 'Unauthorized', status: 401, detail: 'the token has expired', requestId: 'req-43' }) }))
    await page.locator('select.view').selectOption({ label: 'Failed logins' })
    await page.getByText('the token has expired').waitFor()
    await page.shot('expired')
    await page.unroute(listing)
    await signIn(page)
    await shows(page, await totalOf('&action=auth.login_failed'))
  }, { look, on })

  await step(`the admin trail, ${nameOf(look)}`, async page => {
    page.expected = [refusedWith(403)]
    await signIn(page)
    await page.getByRole('link', { name: 'Admin trail' }).click()
    await page.locator('.entries tbody tr, .notice h3').first().waitFor()
    await call('/audit-logs/export?action=nobody.did')
    await page.getByLabel('Search in details and action').fill('EXPORTED')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.locator('.entries tbody tr', { hasText: 'audit_log.exported' }).first().waitFor()
    await page.locator('.entries details > summary').first().click()
    await page.locator('.entries details[open]').getByRole('button', { name: 'Verify' }).click()
    await page.locator('.entries .evidence.verified').waitFor()
    await page.shot('admin')
    await page.route(/\/admin\/audit-logs\/entries\/.*\/proof$/, async route => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, body: (await answer.text()).replace('audit_log.exported', 'audit_log.expected') })
    })
    await page.locator('.entries').getByRole('button', { name: 'Check again' }).click()
    await page.locator('.entries .evidence.mismatch', { hasText: 'not what was signed' }).waitFor()
    await page.shot('admin-mismatch')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signIn(page, TOKEN_VIEWER)
    await page.getByText('You may not see the admin trail').waitFor()
    await page.shot('admin-forbidden')
  }, { look, on })

  await step(`a long history opens at the entry, ${nameOf(look)}`, async page => {
    await openEntry(page, 'long-5')
    await page.locator('details.history > summary').click()
    const open = page.locator('.history .moments li[aria-current]')
    await open.waitFor()
    assert(await open.getByLabel(/Compare to/).isChecked(), 'B is not the open entry')
    await page.locator('.history').getByText('Page 3 of 3').waitFor()
    assert.equal(await page.locator('.history .changes tbody tr').innerText().then(text => text.replace(/\s+/g, ' ')), 'n ~ changed 4 5')
    await page.locator('.history .pager').getByRole('button', { name: 'Newer' }).click()
    await page.locator('.history').getByText('Page 2 of 3').waitFor()
    await page.locator('.history .moments li').first().getByLabel(/Compare from/).check()
    await page.waitForFunction(() => document.querySelector('.history .changes tbody').innerText.replace(/\s+/g, ' ').includes('changed 15 5'))
  }, { look, on })

  await step(`an export says its count first, ${nameOf(look)}`, async page => {
    await page.goto(`${host}/ui/?action=server.updated&exclude_user_id=ui%40acme.example`)
    await signIn(page)
    await loaded(page)
    const expected = await totalOf('&action=server.updated&exclude_user_id=ui%40acme.example')
    for (const [format, check] of [
      ['JSON', text => { const file = JSON.parse(text); assert.equal(file.items.length, expected); assert.equal(file.total, expected) }],
      ['CSV', text => assert(text.startsWith('action,') || text.split('\r\n')[0].includes('action'))],
      ['JSON with proofs', text => assert(JSON.parse(text).proofs.length > 0)],
    ]) {
      await page.getByRole('button', { name: 'Export…' }).click()
      await page.locator('.big strong').waitFor()
      assert.equal(await page.locator('.big strong').innerText(), expected.toLocaleString('en'))
      await page.getByRole('radio', { name: new RegExp(`^${format} (as|ver|for)`) }).check()
      const saving = page.waitForEvent('download')
      if (format === 'JSON') {
        await page.locator('.command > summary').click()
        await page.shot('export')
        await page.locator('.command > summary').click()
      }
      await page.locator('export-dialog').getByRole('button', { name: 'Export', exact: true }).click()
      check(await readFile(await (await saving).path(), 'utf8'))
      await page.getByText('all that were announced').waitFor()
      if (format === 'JSON') await page.shot('exported')
      await page.locator('export-dialog').getByRole('button', { name: 'Close' }).click()
    }
  }, { look, on })

  await step(`what is forged is a mismatch, ${nameOf(look)}`, async page => {
    page.expected = [refusedWith('503|500'), givenUp]
    const entryAt = /\/entries\/ui-2$/
    const proofAt = /\/entries\/ui-2\/proof$/
    const keysAt = /\/audit-logs\/keys$/
    const altered = (at, alter) => page.route(at, async route => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, body: alter(await answer.text()) })
    })
    const flip = text => text.replace(/(— \S+ )(.{20})(.)/, (all, head, kept, one) => head + kept + (one === 'A' ? 'B' : 'A'))
    for (const [name, at, alter] of [
      ['an entry on the screen', entryAt, text => text.replace('Ada Lovelace', 'Eve Lovelace')],
      ['one digit of a state', entryAt, text => text.replace('9007199254740993', '9007199254740992')],
      ['a digit that says the same number', entryAt, text => text.replace('1.10', '1.1')],
      ['the entry in the proof', proofAt, text => text.replace('Ada Lovelace', 'Eve Lovelace')],
      ['a salt', proofAt, text => text.replace(/"salts":\{"(\w+)":"(.)/, (all, member, one) => `"salts":{"${member}":"${one === 'A' ? 'B' : 'A'}`)],
      ['a hash of the path', proofAt, text => text.replace(/index (\d+)\\n(.)/, (all, index, one) => `index ${index}\\n${one === 'A' ? 'B' : 'A'}`)],
      ['the position', proofAt, text => text.replace(/index (\d+)/, (all, index) => `index ${Number(index) - 1}`)],
      ['the signature', proofAt, flip],
      ['the size', proofAt, text => text.replace(/(trails\/acme\\n)(\d+)/, (all, head, size) => head + (Number(size) + 1))],
      ['the whole answer', proofAt, () => '{}'],
      ['the keys', keysAt, text => text.replaceAll('trails/acme', 'trails/evil')],
    ]) {
      await altered(at, alter)
      await openEntry(page, 'ui-2')
      assert.equal(await evidence(page), '✕ MISMATCH', name)
      assert.equal(await words(page.locator('.badge')), '✕ MISMATCH')
      if (name === 'an entry on the screen') await page.shot('mismatch')
      await page.unroute(at)
    }

    // A service that signs anew with another key is found by whoever pinned the old one.
    await openEntry(page, 'ui-2')
    await page.locator('.keys-of > summary').click()
    await page.locator('.keys-of input').fill('audit.ocore.dev/trails/acme+b592adfe+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4')
    await page.getByRole('button', { name: 'Pin', exact: true }).click()
    await page.locator('.evidence.mismatch').waitFor()
    await page.getByRole('button', { name: 'Unpin' }).click()
    await page.locator('.evidence.verified').waitFor()

    await page.route(proofAt, route => route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ type: 'x/unavailable', title: 'Unavailable', status: 503, detail: 'the service has no signing key', requestId: 'r' }) }))
    await page.getByRole('button', { name: 'Check again' }).click()
    await page.locator('.evidence.unsigned').waitFor()
    await page.shot('unsigned')
    await page.unroute(proofAt)
    await page.route(proofAt, route => route.abort())
    await page.getByRole('button', { name: 'Check again' }).click()
    await page.locator('.evidence.unable').waitFor()
    await page.shot('unable')
    await page.unroute(proofAt)
    await page.evaluate(() => { // a browser without Ed25519
      const importKey = crypto.subtle.importKey.bind(crypto.subtle)
      crypto.subtle.importKey = (format, key, algorithm, ...rest) => algorithm === 'Ed25519' ? Promise.reject(new DOMException('unknown', 'NotSupportedError')) : importKey(format, key, algorithm, ...rest)
    })
    await page.getByRole('button', { name: 'Check again' }).click()
    await page.getByText('signature was not checked here').waitFor()
    assert.equal(await evidence(page), '✓ Verified, but for the signature')
    page.expected.push(/console error: Failed to load resource: net::ERR_FAILED/)
  }, { look, on })
}

await step('what was altered in the database is a mismatch', async page => {
  page.expected = [refusedWith(500)]
  const alter = (from, to) => psql(`UPDATE entries SET entry = replace(entry, '${from}', '${to}') WHERE organization = 'acme' AND entry LIKE '{"id":"ui-1",%'`)
  const folder = await mkdtemp(`${tmpdir()}/viewer-`)
  try {
    const [{ key }] = (await (await call('/audit-logs/keys')).json()).items
    await writeFile(`${folder}/keys.txt`, key)
    const { position } = await (await call('/audit-logs/entries/ui-1')).json()
    await alter('Ada Lovelace', 'Eve Lovelace')
    await openEntry(page, 'ui-1')
    assert.equal(await evidence(page), '✕ MISMATCH')
    assert.equal(await words(page.locator('.badge')), '✕ MISMATCH')
    const told = await words(page.locator('.evidence'))
    assert.match(told, new RegExp(`This entry is not what was signed: position ${position}: .*verify trail --deep`))
    assert.equal(await page.getByRole('button', { name: 'Save the proof' }).count(), 0)
    await page.shot('altered')
    await page.locator('.keys-of > summary').click()
    await page.locator('.keys-of').getByRole('button', { name: 'Copy the command' }).click()
    const failure = await run(await clipboard(page), folder).then(() => undefined, error => error)
    assert(failure?.code === 5 && failure.stderr.includes(`position ${position}`), `the command says ${failure?.code}: ${failure?.stderr}`)
    await alter('Eve Lovelace', 'Ada Lovelace')
    await openEntry(page, 'ui-1')
    await page.locator('.evidence.verified').waitFor()
  } finally {
    await alter('Eve Lovelace', 'Ada Lovelace')
    await rm(folder, { recursive: true })
  }
})

await step('every command runs as it is printed', async page => {
  const folder = await mkdtemp(`${tmpdir()}/viewer-`)
  try {
    const query = `user_id=${encodeURIComponent(awkward)}&exclude_action=${encodeURIComponent("it's, none")}&exclude_action=server.created`
    await page.goto(`${host}/ui/?${query}`)
    await signIn(page)
    await loaded(page)
    await shows(page, await totalOf(`&${query}`))
    await page.locator('.chooser > summary', { hasText: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copy as curl' }).click()
    assert.deepEqual(JSON.parse(await run(await clipboard(page), folder)).items.map(({ id }) => id), ['ui-4'])
    for (const [format, file, holds] of [['JSON', 'trail.json', '"id":"ui-4"'], ['JSON with proofs', 'trail.json', '"proofs":[{'], ['CSV', 'trail.csv', ',ui-4,']]) {
      await page.getByRole('button', { name: 'Export…' }).click()
      await page.locator('.big strong').waitFor()
      await page.getByRole('radio', { name: new RegExp(`^${format} (as|ver|for)`) }).check()
      await page.locator('.command > summary').click()
      await page.locator('.command').getByRole('button', { name: 'Copy the command' }).click()
      await run(await clipboard(page), folder)
      const text = await readFile(`${folder}/${file}`, 'utf8')
      assert(text.includes(holds) && !text.includes('ui-3'), `${format}: ${text}`)
      await page.locator('.command > summary').click()
      await page.locator('export-dialog').getByRole('button', { name: 'Close' }).click()
    }

    await openEntry(page, 'ui-4')
    await page.locator('.drawer-bar').getByRole('button', { name: 'Copy as curl' }).click()
    assert.equal(JSON.parse(await run(await clipboard(page), folder)).userId, awkward)
    const saving = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Save the proof' }).click()
    const download = await saving
    await download.saveAs(`${folder}/${download.suggestedFilename()}`)
    await page.locator('.keys-of > summary').click()
    const verify = async () => {
      await page.locator('.keys-of').getByRole('button', { name: 'Copy the command' }).click()
      assert.match(await run(await clipboard(page), folder), /^verified: /)
    }
    await verify()
    await page.getByRole('button', { name: 'Pin this key' }).click()
    await page.getByText('signed by a key that you pinned').waitFor()
    await page.locator('.keys-of > summary').click()
    await verify()

    // A token for several organizations says which one is meant.
    await page.goto(`${host}/ui/?org=acme&user_id=${encodeURIComponent(awkward)}`)
    await signIn(page, TOKEN_SEVERAL)
    await loaded(page)
    await page.locator('.chooser > summary', { hasText: 'Copy' }).click()
    await page.getByRole('button', { name: 'Copy as curl' }).click()
    const curl = await clipboard(page)
    assert.equal(JSON.parse(await run(`TOKEN=${TOKEN_SEVERAL}; ${curl}`, folder)).total, 1)
    await assert.rejects(readFile(`${folder}/owned`), 'a value was taken for a command')
  } finally {
    await rm(folder, { recursive: true })
  }
})

// A proxy that serves the service beneath a prefix, and cuts the live trail when it is told to.
const prefix = '/behind/a/proxy'
const tails = new Set()
const proxy = createServer((incoming, outgoing) => {
  if (!incoming.url.startsWith(prefix)) return outgoing.writeHead(404).end()
  const { hostname, port } = new URL(host)
  const { method, headers, url } = incoming
  const asked = request({ hostname, port, method, headers, path: url.slice(prefix.length) }, answer => {
    outgoing.writeHead(answer.statusCode, answer.headers)
    answer.pipe(outgoing)
  })
  asked.on('error', () => outgoing.destroy())
  outgoing.on('close', () => { tails.delete(outgoing); asked.destroy() })
  if (url.includes('/audit-logs/tail')) tails.add(outgoing)
  incoming.pipe(asked)
}).listen(0, '127.0.0.1')
await new Promise(resolve => proxy.once('listening', resolve))
const behind = `http://127.0.0.1:${proxy.address().port}${prefix}/ui`

await step('all of it works beneath a prefix', async page => {
  assert.equal(new URL(page.url()).pathname, `${prefix}/ui/`)
  await signIn(page)
  await loaded(page)
  await rows(page).first().locator('a.open').click()
  await page.locator('.evidence.verified').waitFor()
  assert(page.url().startsWith(`${behind}/?entry=`))
}, { address: behind })

for (const look of looks) {
  await step(`the live trail, ${nameOf(look)}`, async page => {
    page.expected = [givenUp]
    await signIn(page)
    await page.getByRole('link', { name: 'Live' }).click()
    await page.getByText('Waiting for the next entry').waitFor()
    await page.locator('.dot.live').waitFor()
    await page.shot('tail-waiting')
    await record(`{"action":"server.started","resourceType":"server","resourceId":"tail-1","userId":"ada"}`)
    await page.locator('.entries tbody tr').first().waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await record(`{"action":"server.stopped","resourceType":"server","resourceId":"tail-1","userId":"ada"}`)
    await page.getByRole('button', { name: 'Go on (1 new)' }).waitFor()
    assert.equal(await rows(page).count(), 1)
    await page.shot('tail-paused')
    await page.evaluate(() => document.activeElement.blur())
    await page.keyboard.press('p')
    await page.waitForFunction(() => document.querySelectorAll('.entries tbody tr').length === 2)
    await page.shot('tail')
    await page.keyboard.press('j')
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await page.locator('.sentence', { hasText: 'started' }).waitFor()
    await page.keyboard.press('[')
    await page.locator('.sentence', { hasText: 'stopped' }).waitFor()
    await page.keyboard.press('Escape')
  }, { look })
}

await step('a tail that is cut ten times gets 5,000 entries once each, in order', async page => {
  page.expected = [givenUp, /console error: Failed to load resource: net::/]
  await signIn(page)
  await page.getByRole('link', { name: 'Live' }).click()
  await page.locator('.dot.live').waitFor()
  const positions = []
  for (let batch = 0; batch < 50; batch++) {
    const items = Array.from({ length: 100 }, (_, i) => ({ action: 'server.updated', resourceType: 'server', resourceId: `cut-${batch}-${i}` }))
    const { items: receipts } = await (await call('/audit-logs/batch', { method: 'POST', body: JSON.stringify({ items }) })).json()
    positions.push(...receipts.map(receipt => receipt.position))
    if (batch % 5 === 2) {
      for (let tries = 0; tails.size === 0 && tries < 200; tries++) await page.waitForTimeout(50)
      assert(tails.size > 0, 'the page has not connected again')
      for (const one of tails) one.destroy()
    }
  }
  await page.waitForFunction(() => document.querySelector('.total')?.textContent.includes('5,000 received'), undefined, { timeout: 60_000 })
  const saving = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save what is shown' }).click()
  const kept = (await readFile(await (await saving).path(), 'utf8')).trim().split('\n').map(line => JSON.parse(line).position)
  assert.deepEqual(kept, positions)
}, { address: behind })

proxy.close()
proxy.closeAllConnections()
await browser.close()
console.log(`${ran} steps`)
if (failures || ran === 0) {
  console.log(`${failures} faults`)
  process.exitCode = 1
}
