// A browser that reaches nobody but this machine, and pages of it that note what went wrong.
import { createRequire } from 'node:module'
const require = createRequire(new URL('../../tools/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const { AxeBuilder } = require('@axe-core/playwright')

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
  ],
})

// open loads an address in a browser context of its own. The page's `faults` collects, as
// long as it is open, console errors and warnings, violations of the policy, requests to
// other hosts and failed ones.
export async function open(browser, address, { colorScheme = 'light', width = 1280, height = 900 } = {}) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height }, reducedMotion: 'reduce' })
  const page = await context.newPage()
  const own = new URL(address).origin
  page.faults = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) page.faults.push(`console ${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', error => page.faults.push(`script error: ${error.message}`))
  page.on('requestfailed', request => page.faults.push(`failed request: ${request.url()} ${request.failure()?.errorText}`))
  page.on('request', request => {
    const { origin, protocol } = new URL(request.url())
    if (origin !== own && protocol !== 'data:') page.faults.push(`request to a stranger: ${request.url()}`)
  })
  await context.exposeFunction('noteViolation', text => page.faults.push(`policy: ${text}`))
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', event => {
      window.noteViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`)
    })
  })
  await page.goto(address)
  return page
}

const standards = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']

// violations are what axe finds against WCAG 2.2 AA: each rule with its first places. What a
// selector names is left out: say what else looks at it.
export async function violations(page, ...except) {
  const axe = new AxeBuilder({ page }).options({ runOnly: standards, resultTypes: ['violations'] })
    .setLegacyMode() // our pages have one frame: gathering from others takes three times as long
  for (const selector of except) axe.exclude(selector)
  const found = await axe.analyze()
  return found.violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 3).map(({ html, any }) => `\n        ${html.slice(0, 160)} ${any[0]?.data?.contrastRatio ?? ''}`)
    return `axe ${id}: ${help}, at ${nodes.length} places${places.join('')}`
  })
}
