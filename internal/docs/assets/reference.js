// Shows our own document with Swagger UI. Addresses are found from this script's own, so
// that the page works beneath whatever prefix a proxy gives it.
const root = new URL('../../', document.currentScript.src)

// Swagger UI has a dark side, and leaves it to the page to say when.
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()

async function show() {
  const answer = await fetch(new URL('openapi.json', root))
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`)
  const spec = await answer.json()
  // "Try it out" calls the service that the page came from.
  spec.servers = spec.servers.slice(0, 1).map(server => ({ url: new URL(`.${server.url}`, root).href }))
  SwaggerUIBundle({
    spec,
    domNode: document.getElementById('reference'),
    validatorUrl: null,
    persistAuthorization: false,
    deepLinking: true,
    filter: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
  })
}

show().catch(error => {
  const message = document.createElement('p')
  message.setAttribute('role', 'alert')
  message.textContent = `The document could not be shown (${error.message}). Load the page again.`
  document.getElementById('reference').replaceChildren(message)
})
