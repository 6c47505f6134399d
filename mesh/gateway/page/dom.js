// Functions that the page's parts share to show data. All data from the mesh is hostile, and is shown as text only.

export const $ = id => document.getElementById(id)

// element makes an element with properties and children. A string child becomes text.
export function element (name, properties = {}, ...children) {
  const e = Object.assign(document.createElement(name), properties)
  e.append(...children)
  return e
}

// Characters that are invisible, or that change the direction of others.
const unseen = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

// visible returns text in a form that is safe to show: on one line, with all characters visible, of at most max
// characters.
export function visible (text, max = 200) {
  const cut = text.length > max ? text.slice(0, max - 1) + '…' : text
  return cut.replace(unseen, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'))
}

// isolated returns text in an element that isolates its writing direction from its neighbours.
export const isolated = (text, max) => element('bdi', { textContent: visible(text, max) })

// say replaces the text of an element unless it is the same, because some screen readers would read it again.
export function say (e, text) {
  if (e.textContent !== text) e.textContent = text
}

// unfold makes a button show and hide a form.
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

let turns = 0 // the number of times that the page became hidden or visible
document.addEventListener('visibilitychange', () => turns++)

// paced returns a function that schedules work for a later animation frame. Work and drawing take at most a fifth of
// the time, whatever other nodes send, so the page still responds to its user. Drawing lasts until the frame after the
// work. If the page was hidden in between, that duration is not valid. If frames stop for another reason, PAUSE bounds
// the pause.
export function paced (work) {
  let asked = false
  let free = 0 // the earliest time of the next work
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
