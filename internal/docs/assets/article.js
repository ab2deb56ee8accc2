// Gives each piece of code a button that copies it, where the browser lets a page copy.
if (navigator.clipboard) {
  for (const code of document.querySelectorAll('article pre > code')) {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'copy'
    button.textContent = 'Copy'
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(code.textContent)
      button.textContent = 'Copied'
      setTimeout(() => { button.textContent = 'Copy' }, 2000)
    })
    const frame = document.createElement('div')
    frame.className = 'code'
    code.parentElement.replaceWith(frame)
    frame.append(code.parentElement, button)
  }
}
