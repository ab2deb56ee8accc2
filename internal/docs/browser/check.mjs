// Holds /docs in a real browser against what is promised of it. Run it by `make browser`;
// ONLY=part of a step's name runs those alone, LOOKS='light 1280,dark 380' at those looks alone.
//
// Each step is a function that throws, or whose page notes faults; all steps run, so that
// one run tells everything. Screenshots of what people see are left in screenshots/: look
// at them after a change to a style sheet.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { launch, open, violations } from './page.mjs'

const host = process.env.OCORE_AUDIT_URL
const token = process.env.TOKEN
assert(host && token, 'OCORE_AUDIT_URL or TOKEN is missing: run this by `make browser`')

const screenshots = new URL('screenshots/', import.meta.url).pathname
await mkdir(screenshots, { recursive: true })
const looks = ['light', 'dark'].flatMap(colorScheme => [1280, 380].map(width => ({ colorScheme, width })))
  .filter(look => !process.env.LOOKS || process.env.LOOKS.split(',').includes(`${look.colorScheme} ${look.width}`))
const nameOf = ({ colorScheme, width }) => `${colorScheme}-${width}`

const spec = await (await fetch(`${host}/openapi.json`)).json()
const operations = Object.values(spec.paths).flatMap(item => Object.values(item)).filter(operation => operation.operationId)
  .map(operation => ({ id: operation.operationId, element: `#operations-${operation.tags[0]}-${operation.operationId}` }))
assert(operations.length >= 8, 'the document has lost its operations')

const browser = await launch()
let failures = 0

// step opens a page, does what is to be tried on it, and tells what went wrong.
async function step(name, address, look, act) {
  if (process.env.ONLY && !name.includes(process.env.ONLY)) return
  const begun = Date.now()
  const page = await open(browser, address, look)
  try {
    await act(page)
  } catch (error) {
    page.faults.push(error.message)
    await page.screenshot({ path: `${screenshots}failed.png` })
  }
  await page.context().close()
  console.log(`${page.faults.length ? 'FAIL' : 'ok'}  ${name} (${Date.now() - begun} ms)`)
  for (const fault of page.faults.slice(0, 20)) console.log(`      ${fault}`)
  failures += page.faults.length
}

const block = (page, id) => page.locator(operations.find(operation => operation.id === id).element)

async function rendered(page) {
  await page.locator('.opblock').first().waitFor()
  await page.locator('#operations-list a').first().waitFor({ state: 'attached' })
}

async function authorize(page) {
  await page.locator('.scheme-container .authorize').click()
  await page.locator('#auth-bearer-value').fill(token)
  await page.locator('.modal-ux .authorize').click()
  await page.locator('.modal-ux .btn-done').click()
}

// execute tries an operation that is open, and waits for the answer.
async function execute(page, id, status) {
  await block(page, id).locator('.execute').click()
  const shown = block(page, id).locator('.live-responses-table .response .response-col_status').first()
  await shown.waitFor()
  assert.match(await shown.innerText(), new RegExp(`^${status}`), `${id} was answered by ${await shown.innerText()}`)
}

// expandAll opens what can be opened: operations, schemas and what these hold.
async function expandAll(page) {
  const openWithin = selector => page.evaluate(selector => {
    for (const closed of document.querySelectorAll(`${selector}[aria-expanded=false]`)) closed.click()
  }, selector)
  await openWithin('.opblock-summary-control')
  for (const operation of operations) await page.locator(`${operation.element} .responses-wrapper`).waitFor()
  for (let depth = 0; depth < 3; depth++) {
    await openWithin('.models :is(button, [role=button])')
    await page.waitForTimeout(200)
  }
}

async function accessible(page, where) {
  await page.waitForTimeout(200) // mends follow what was drawn by a frame
  page.faults.push(...(await violations(page)).map(violation => `${where}: ${violation}`))
}

await step('the reference shows every operation', `${host}/docs`, {}, async page => {
  await rendered(page)
  assert.equal(await page.locator('.opblock').count(), operations.length)
  assert.equal(await page.locator('#operations-list a').count(), operations.length)
  for (const operation of operations) assert.equal(await page.locator(operation.element).count(), 1, operation.id)
  await page.locator('#operations-list a').last().click()
  await page.locator('.opblock.is-open .execute').waitFor()
})

await step('a link to an operation opens it', `${host}/docs#/Audit/exportAuditLogs`, {}, async page => {
  await block(page, 'exportAuditLogs').locator('.execute').waitFor()
})

async function tryCalls(page) {
  await rendered(page)
  await authorize(page)
  // Of answers with thousands of entries the page would draw every token, and be busy with nothing else.
  const few = { listAuditLogs: ['per_page', '2'], exportAuditLogs: ['action', 'server.deleted'] }
  for (const [id, status] of [['listAuditLogs', 200], ['createAuditLog', 201], ['exportAuditLogs', 200], ['listAdminAuditLogs', 200]]) {
    await block(page, id).locator('.opblock-summary-control').click()
    if (few[id]) await block(page, id).locator(`[data-param-name=${few[id][0]}] input`).fill(few[id][1])
    await execute(page, id, status)
  }
  assert.match(await block(page, 'listAuditLogs').locator('.live-responses-table .microlight').first().innerText(), /"total":/)
}

await step('calls can be tried with a pasted token', `${host}/docs`, {}, tryCalls)

// A proxy that serves the service beneath a prefix.
const prefix = '/behind/a/proxy'
const proxy = createServer((incoming, outgoing) => {
  if (!incoming.url.startsWith(prefix)) return outgoing.writeHead(404).end()
  const { hostname, port } = new URL(host)
  const { method, headers, url } = incoming
  incoming.pipe(request({ hostname, port, method, headers, path: url.slice(prefix.length) }, answer => {
    outgoing.writeHead(answer.statusCode, answer.headers)
    answer.pipe(outgoing)
  }))
}).listen(0, '127.0.0.1')
await new Promise(resolve => proxy.once('listening', resolve))
await step('all of it works beneath a prefix', `http://127.0.0.1:${proxy.address().port}${prefix}/docs/`, {}, async page => {
  assert.equal(new URL(page.url()).pathname, `${prefix}/docs`)
  await tryCalls(page)
  await page.getByRole('link', { name: 'Problems' }).click()
  await page.getByRole('link', { name: 'Conflict' }).first().click()
  assert.equal(new URL(page.url()).pathname, `${prefix}/docs/problems/conflict`)
})
proxy.close()

await step('the keyboard reaches everything and is seen', `${host}/docs`, {}, async page => {
  await rendered(page)
  const seen = []
  for (let stop = 0; stop < 80; stop++) {
    await page.keyboard.press('Tab')
    const focus = await page.evaluate(() => {
      const element = document.activeElement
      const { outlineStyle, outlineWidth } = getComputedStyle(element)
      const { top, bottom, width } = element.getBoundingClientRect()
      return {
        name: `${element.tagName} ${element.getAttribute('aria-label') ?? element.textContent.trim().slice(0, 40)}`,
        ringed: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
        inView: bottom > 0 && top < innerHeight && width > 0,
      }
    })
    seen.push(focus.name)
    assert(focus.ringed && focus.inView, `the focus can't be seen on ${focus.name}`)
  }
  assert.match(seen[0], /Skip to the content/)
  assert(seen.some(name => /Authorize/.test(name)) && seen.some(name => /Filter/.test(name)), seen.join(', '))

  const opener = page.locator('.scheme-container .authorize')
  await opener.focus()
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.activeElement.id === 'auth-bearer-value')
  for (let stop = 0; stop < 5; stop++) {
    await page.keyboard.press('Tab')
    assert(await page.evaluate(() => document.activeElement.closest('[role=dialog]')), 'the focus leaves the dialog')
  }
  await page.keyboard.press('Escape')
  await page.waitForFunction(() => document.activeElement.matches('.scheme-container .authorize'))

  const first = page.locator('.opblock-summary-control').first()
  await first.focus()
  await page.keyboard.press('Enter')
  await page.locator('.opblock.is-open .execute').waitFor()
})

for (const look of looks) {
  await step(`the reference is accessible, ${nameOf(look)}`, `${host}/docs`, look, async page => {
    await rendered(page)
    await page.screenshot({ path: `${screenshots}reference-${nameOf(look)}.png` })
    await accessible(page, 'at first')
    await page.locator('.scheme-container .authorize').click()
    await page.screenshot({ path: `${screenshots}authorize-${nameOf(look)}.png` })
    await accessible(page, 'dialog')
    await page.keyboard.press('Escape')
    await authorize(page)
    await expandAll(page)
    await block(page, 'listAuditLogs').locator('[data-param-name=per_page] input').fill('1')
    await execute(page, 'listAuditLogs', 200)
    await execute(page, 'createAuditLog', 201)
    // The longest look of all. Colours don't depend on the width, so each of both is looked at once.
    if ((look.colorScheme === 'light') === (look.width === 1280)) await accessible(page, 'everything open')
    for (const [part, selector] of Object.entries({
      parameters: '#operations-Audit-listAuditLogs',
      answer: '#operations-Audit-createAuditLog .live-responses-table',
      documented: '#operations-Audit-createAuditLog .responses-table:not(.live-responses-table)',
      schemas: '.models',
    })) {
      await page.locator(selector).first().evaluate(element => element.scrollIntoView())
      await page.screenshot({ path: `${screenshots}${part}-${nameOf(look)}.png` })
    }
  })
}

const index = await open(browser, `${host}/docs/guides`)
const guides = await index.locator('.side ul').first().locator('a').evaluateAll(links => links.map(link => link.href))
await index.context().close()
for (const address of [`${host}/docs/guides`, ...guides, `${host}/docs/problems`, `${host}/docs/problems/bad-request`]) {
  const name = new URL(address).pathname
  await Promise.all(looks.map(look => step(`${name} is accessible, ${nameOf(look)}`, address, look, async page => {
    await page.screenshot({ path: `${screenshots}${name.split('/').pop()}-${nameOf(look)}.png` })
    assert(await page.locator('article h1').isVisible())
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert(overflow <= 0, `the page is ${overflow} px too wide`)
    page.faults.push(...await violations(page))
  })))
}

await browser.close()
if (failures) {
  console.log(`${failures} faults`)
  process.exitCode = 1
}
