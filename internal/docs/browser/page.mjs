// A browser that reaches nobody but the service, and pages of it that note what went wrong.
import { createRequire } from 'node:module'
const require = createRequire(new URL('../../tools/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const { AxeBuilder } = require('@axe-core/playwright')

export const host = process.env.OCORE_AUDIT_URL
if (!host) throw new Error('OCORE_AUDIT_URL is missing: run this by `make browser`')

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
    ],
  })
}

// open loads a path in a browser context of its own. Its `faults` collects console errors,
// violations of the policy, requests to other hosts and failed ones, as long as it is open.
export async function open(browser, path, { colorScheme = 'light', width = 1280, height = 900 } = {}) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height }, reducedMotion: 'reduce' })
  const page = await context.newPage()
  page.faults = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) page.faults.push(`console ${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', error => page.faults.push(`script error: ${error.message}`))
  page.on('requestfailed', request => page.faults.push(`failed request: ${request.url()}`))
  page.on('request', request => {
    const { origin, protocol } = new URL(request.url())
    if (origin !== host && protocol !== 'data:') page.faults.push(`request to a stranger: ${request.url()}`)
  })
  await context.exposeFunction('noteViolation', text => page.faults.push(`policy: ${text}`))
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', event => {
      window.noteViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  await page.goto(host + path, { waitUntil: 'networkidle' })
  return page
}

const standards = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']

// violations are what axe finds against WCAG 2.2 AA, a line for each place.
export async function violations(page) {
  const found = await new AxeBuilder({ page }).withTags(standards).analyze()
  return found.violations.flatMap(violation => violation.nodes.map(node => {
    const why = [...node.any, ...node.all, ...node.none].map(check => check.message).join('; ')
    return `axe ${violation.id}: ${node.target.join(' ')}: ${node.html.slice(0, 160)}: ${why}`
  }))
}
