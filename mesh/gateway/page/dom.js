// What the page's parts share to show something. All that comes from the mesh is hostile, and is shown as text only.

export const $ = id => document.getElementById(id)

// element makes an element with properties and children; a string is text.
export function element (name, properties = {}, ...children) {
  const e = Object.assign(document.createElement(name), properties)
  e.append(...children)
  return e
}

// Characters that would not be seen, or would turn others around.
const unseen = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

// visible returns text as it may be shown: in one line, with all characters to be seen, and not longer than max.
export function visible (text, max = 200) {
  const cut = text.length > max ? text.slice(0, max - 1) + '…' : text
  return cut.replace(unseen, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))
}

// isolated is text in an element that keeps its direction from its neighbours.
export const isolated = (text, max) => element('bdi', { textContent: visible(text, max) })

// say replaces what an element says, unless it says so already: some readers would read it again.
export function say (e, text) {
  if (e.textContent !== text) e.textContent = text
}

// unfold has a button show and hide a form.
export function unfold (button, form, field) {
  const show = open => {
    form.hidden = !open
    button.setAttribute('aria-expanded', String(open))
    if (open) field.focus()
  }
  button.addEventListener('click', () => show(form.hidden))
  form.addEventListener('keydown', e => {
    if (e.key !== 'Escape') return
    show(false)
    button.focus()
  })
  return show
}

const PAUSE = 1000 // milliseconds: the longest pause of paced

let turns = 0 // of the page, to hidden or back
document.addEventListener('visibilitychange', () => turns++)

// paced returns a function that has work done with a later animation frame. Work and drawing take at most a fifth of the
// time, whatever other nodes send, so that the page still responds to its user. Drawing lasts until the frame after the
// work. A page that was hidden in between has no such measure, and where frames stop for other reasons the pause is bounded.
export function paced (work) {
  let asked = false
  let free = 0 // when it may be done again
  function run (now) {
    if (now < free) return requestAnimationFrame(run)
    asked = false
    const start = performance.now()
    const turn = turns
    free = Infinity
    requestAnimationFrame(() => {
      free = turn === turns ? start + Math.min(PAUSE, 5 * (performance.now() - start)) : 0
    })
    work()
  }
  return () => {
    if (!asked) requestAnimationFrame(run)
    asked = true
  }
}
