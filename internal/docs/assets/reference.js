// Shows our own document with Swagger UI, and adds what Swagger UI lacks: a contents list,
// names for what a screen reader meets, a dialog that holds the focus. Addresses are found
// from this script's own, so that the page works beneath whatever prefix a proxy gives it.
const root = new URL('../../', document.currentScript.src)
const reference = document.getElementById('reference')
const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

// Swagger UI has a dark side, and leaves it to the page to say when.
const dark = matchMedia('(prefers-color-scheme: dark)')
const followScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', followScheme)
followScheme()

// operationsByTag lists the operations of each tag. The tag that has most of them is what
// most people come for, and comes first.
function operationsByTag(spec) {
  const byTag = new Map()
  for (const item of Object.values(spec.paths)) {
    for (const method of methods.filter(method => item[method])) {
      const [tag] = item[method].tags
      byTag.set(tag, [...byTag.get(tag) ?? [], { method, ...item[method] }])
    }
  }
  return new Map([...byTag].sort(([, a], [, b]) => b.length - a.length))
}

// prepare fits the document to the page: calls go to the service that the page came from,
// and optional parameters start empty, since a form that is filled with examples asks for
// what nobody recorded.
function prepare(spec) {
  spec.servers = spec.servers.slice(0, 1).map(server => ({ url: new URL(`.${server.url}`, root).href }))
  const parameters = [
    ...Object.values(spec.components?.parameters ?? {}),
    ...Object.values(spec.paths).flatMap(item => [item, ...methods.map(method => item[method])]).flatMap(part => part?.parameters ?? []),
  ]
  for (const parameter of parameters) {
    const example = parameter.example ?? Object.values(parameter.examples ?? {})[0]?.value
    if (parameter.required || example === undefined) continue
    parameter.description = `${parameter.description ?? ''}\n\nFor example \`${example}\`.`
    delete parameter.example
    delete parameter.examples
  }
  return spec
}

// plugin replaces parts of Swagger UI.
const plugin = ({ React }) => ({
  wrapComponents: {
    // A link inside the button that opens an operation can't be reached by everybody.
    DeepLink: Original => props => props.path?.includes('/')
      ? React.createElement('span', null, props.text)
      : React.createElement(Original, props),
    // There is one server: this one.
    ServersContainer: () => ({ specSelectors }) => React.createElement('p', { className: 'calls' },
      'Calls go to ', React.createElement('code', null, specSelectors.servers().first()?.get('url')),
      '. Choose Authorize and paste a token, then open an operation and try it. The token stays in this page until you leave it.'),
  },
})

// mends are attributes that Swagger UI doesn't set, by what needs them. It redraws its
// elements at will, so they are set again whenever something was drawn.
const mends = {
  '.close-modal': () => ({ 'aria-label': 'Close' }),
  '.modal-ux': () => ({ role: 'dialog', 'aria-modal': 'true', 'aria-label': 'Authorize' }),
  '.modal-btn': () => ({ 'aria-label': null }), // their texts say it
  '#auth-bearer-value': () => ({ 'aria-label': 'Token', autocomplete: 'off', spellcheck: 'false' }),
  '.operation-filter-input': () => ({ 'aria-label': 'Filter operations by tag or path' }),
  '.opblock-control-arrow': () => ({ 'aria-hidden': 'true' }),
  '.expand-operation': button => ({ 'aria-label': `Operations of ${button.closest('[data-tag]')?.dataset.tag ?? 'this tag'}` }),
  '.authorization__btn': button => ({ 'aria-label': `Authorize, for ${operationName(button)}` }),
  '.model-box-control': button => ({ 'aria-label': button.textContent.trim() ? null : `Details of ${button.closest('tr')?.cells[0].textContent.trim() || 'the items'}` }),
  '.view-line-link': () => ({ 'aria-label': null }),
  '.responses-table select': field => ({ 'aria-label': field.closest('.content-type-wrapper, .media-type-select') || field.classList.contains('content-type') ? 'Media type' : 'Example' }),
  '.opblock-section-request-body select, .examples-select select': field => ({ 'aria-label': field.classList.contains('content-type') || field.getAttribute('aria-label') === 'Request content type' ? 'Media type' : 'Example' }),
  'tr[data-param-name] :is(input, select, textarea)': field => ({ 'aria-label': field.closest('tr').dataset.paramName }),
  '.body-param__text': field => ({ 'aria-label': `Request body of ${operationName(field)}` }),
  '.microlight, .highlight-code > div, .renderedMarkdown pre, .table-container, .model-container, .models-scroll, .responses-inner, .copy-paste':
    box => ({ tabindex: box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight ? '0' : null }),
}

function operationName(element) {
  const summary = element.closest('.opblock')?.querySelector('.opblock-summary-control')
  return summary ? `${summary.querySelector('.opblock-summary-method').textContent} ${summary.querySelector('.opblock-summary-path').dataset.path}` : 'this call'
}

function mend() {
  for (const [selector, attributes] of Object.entries(mends)) {
    for (const element of reference.querySelectorAll(selector)) {
      for (const [name, value] of Object.entries(attributes(element))) {
        if (element.getAttribute(name) === value) continue
        if (value === null) element.removeAttribute(name)
        else element.setAttribute(name, value)
      }
    }
  }
  holdFocus(reference.querySelector('.modal-ux'))
}

// holdFocus moves the focus into a dialog that has opened, and back when it has closed.
let dialog = null
let opener = null
document.addEventListener('focusin', ({ target }) => {
  if (!target.closest('.modal-ux')) opener = target
})

function holdFocus(shown) {
  if (shown === dialog) return
  if (shown) {
    const first = shown.querySelector('input') ?? shown.querySelector('.modal-btn') ?? shown.querySelector('button')
    first?.focus()
  } else {
    opener?.focus()
  }
  dialog = shown
}

document.addEventListener('keydown', event => {
  if (event.key !== 'Tab' || !dialog) return
  const stops = [...dialog.querySelectorAll('a[href], button, input')].filter(stop => !stop.disabled)
  const at = stops.indexOf(document.activeElement)
  event.preventDefault()
  stops[(at + (event.shiftKey ? -1 : 1) + stops.length) % stops.length]?.focus()
})

// contents lists the operations beside the reference.
function contents(byTag, ui) {
  const list = document.getElementById('operations-list')
  for (const [tag, operations] of byTag) {
    const heading = document.createElement('h2')
    heading.textContent = tag
    const items = document.createElement('ul')
    for (const operation of operations) {
      const link = document.createElement('a')
      link.href = `#/${tag}/${operation.operationId}`
      const method = document.createElement('span')
      method.className = `method ${operation.method}`
      method.textContent = operation.method.toUpperCase()
      link.append(method, operation.summary)
      link.addEventListener('click', event => {
        event.preventDefault()
        show(ui, tag, operation.operationId)
      })
      const item = document.createElement('li')
      item.append(link)
      items.append(item)
    }
    list.append(heading, items)
  }
}

function show(ui, tag, operationId) {
  ui.layoutActions.show(['operations-tag', tag], true)
  ui.layoutActions.show(['operations', tag, operationId], true)
  requestAnimationFrame(() => {
    const block = document.getElementById(`operations-${tag}-${operationId}`)
    block?.scrollIntoView()
    block?.querySelector('.opblock-summary-control').focus({ preventScroll: true })
  })
}

async function start() {
  const answer = await fetch(new URL('openapi.json', root))
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`)
  const spec = prepare(await answer.json())
  const byTag = operationsByTag(spec)
  const tags = [...byTag.keys()]
  let waiting = false
  new MutationObserver(() => {
    if (waiting) return
    waiting = true
    requestAnimationFrame(() => {
      waiting = false
      mend()
    })
  }).observe(reference, { childList: true, subtree: true })
  const ui = SwaggerUIBundle({
    spec,
    domNode: reference,
    plugins: [plugin],
    validatorUrl: null,
    persistAuthorization: false,
    deepLinking: true,
    filter: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    tagsSorter: (a, b) => tags.indexOf(a) - tags.indexOf(b),
  })
  contents(byTag, ui)
}

start().catch(error => {
  const message = document.createElement('p')
  message.setAttribute('role', 'alert')
  message.textContent = `The document could not be shown (${error.message}). Load the page again.`
  reference.replaceChildren(message)
})
