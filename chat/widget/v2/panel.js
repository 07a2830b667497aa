/** The dialog: everything a visitor sees once the chat is open. `app` has the words, the turns and the deeds. */
const buildPanel = (app) => {
  const { t, settings } = app
  const live = h('div', { class: 'sr', 'aria-live': 'polite' })
  const list = h('div', { class: 'list' })
  const log = h('div', { class: 'log', role: 'log', 'aria-live': 'off', 'aria-label': t('name'), tabindex: 0 }, list)
  const banner = h('p', { class: 'banner', role: 'status' })
  const input = h('textarea', { rows: 1, maxlength: 2000, placeholder: t('placeholder'), 'aria-label': t('message'), enterkeyhint: 'send', dir: 'auto' })
  const send = h('button', { class: 'send' })
  const counter = h('span', { class: 'counter', 'aria-hidden': 'true' })
  const form = h('form', { class: 'composer' }, h('div', { class: 'field' }, input, counter, send))
  const menu = h(
    'div',
    { class: 'menu', id: 'menu', hidden: true },
    h('button', { type: 'button', onclick: () => (showMenu(false), app.fresh()) }, icon('fresh'), t('fresh')),
    h('button', { type: 'button', onclick: () => (showMenu(false), confirmErase()) }, icon('bin'), t('erase')),
  )
  const more = button(t('menu'), 'more', () => showMenu(menu.hidden), { 'aria-expanded': 'false', 'aria-controls': 'menu' })
  const head = h('header', null, portrait(settings, t), h('h2', { id: 'name', dir: 'auto' }, t('name')), more, menu, button(t('close'), 'close', app.close))
  const note = h('p', { class: 'note' }, t('note'))
  const node = h('div', { class: 'panel', role: 'dialog', 'aria-modal': 'true', 'aria-labelledby': 'name', tabindex: -1, onkeydown: (event) => keys(event) }, head, banner, log, form, note, live)

  const showMenu = (open) => {
    menu.hidden = !open
    more.setAttribute('aria-expanded', String(open))
    ;(open ? menu.querySelector('button') : more).focus()
  }
  const confirmErase = () => {
    const done = () => (box.remove(), input.focus())
    const box = h(
      'div',
      { class: 'veil' },
      h(
        'div',
        { class: 'confirm', role: 'alertdialog', 'aria-modal': 'true', 'aria-labelledby': 'question' },
        h('p', { id: 'question' }, t('eraseAsk')),
        h('div', null, h('button', { type: 'button', onclick: done }, t('cancel')), h('button', { type: 'button', class: 'main', onclick: () => (done(), app.erase()) }, t('erase'))),
      ),
    )
    node.append(box)
    box.querySelector('button').focus()
  }

  /** Escape closes the innermost thing that is open; Tab stays inside the dialog. */
  const keys = (event) => {
    const box = node.querySelector('.veil')
    if (event.key === 'Escape') {
      event.stopPropagation()
      if (box) box.querySelector('button').click()
      else if (!menu.hidden) showMenu(false)
      else app.close()
    }
    if (event.key !== 'Tab') return
    const stops = [...(box || node).querySelectorAll('button,a[href],textarea,[tabindex="0"]')].filter((stop) => stop.getClientRects().length && !stop.disabled)
    const edge = event.shiftKey ? stops[0] : stops.at(-1)
    const focused = node.getRootNode().activeElement
    if (focused === edge || focused === node) {
      event.preventDefault()
      ;(event.shiftKey ? stops.at(-1) : stops[0]).focus()
    }
  }

  const fit = () => {
    input.style.height = 'auto'
    input.style.height = input.scrollHeight + 'px'
    counter.textContent = input.value.length > 1800 ? `${input.value.length} / 2000` : ''
    toggle(send, 'disabled', !app.busy() && !input.value.trim())
  }
  const submit = () => {
    if (app.busy() || !input.value.trim()) return
    app.ask(input.value)
    input.value = ''
    fit()
  }
  input.addEventListener('input', fit)
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    submit()
  })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (app.busy()) app.stop()
    else submit()
  })
  menu.addEventListener('focusout', (event) => {
    if (!menu.hidden && event.relatedTarget && event.relatedTarget !== more && !menu.contains(event.relatedTarget)) {
      menu.hidden = true
      more.setAttribute('aria-expanded', 'false')
    }
  })

  const welcome = () => {
    const questions = app.turns.length ? [] : settings.suggestedQuestions
    return [
      h('div', { class: 'turn bot' }, h('div', { class: 'body' }, h('p', { dir: 'auto' }, t('welcome')))),
      questions.length ? h('ul', { class: 'ideas', 'aria-label': t('suggestions') }, ...questions.map((text) => h('li', null, h('button', { type: 'button', dir: 'auto', onclick: () => app.ask(text) }, text)))) : '',
    ]
  }

  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60
  const toEnd = () => (log.scrollTop = log.scrollHeight)

  return {
    node,
    input,
    fit,
    /** Draw all turns anew. */
    fill: () => {
      for (const turn of app.turns) turn.view = turnView(app, turn)
      list.replaceChildren(...welcome(), ...app.turns.map((turn) => turn.view.node))
      toEnd()
    },
    /** Draw one turn's change; the visitor who has scrolled up is left there. */
    update: (turn) => {
      const follow = atEnd()
      turn.view.update()
      if (follow) toEnd()
    },
    /** Show whether an answer is being written. */
    working: (busy) => {
      const label = t(busy ? 'stop' : 'send')
      send.replaceChildren(icon(busy ? 'stop' : 'send'))
      send.setAttribute('aria-label', label)
      send.title = label
      toggle(log, 'aria-busy', false)
      fit()
    },
    notice: (text) => (banner.textContent = text),
    say: (text) => {
      live.append(h('p', null, text))
      if (live.childNodes.length > 20) live.firstChild.remove()
    },
  }
}

/** The avatar: a picture of the page's own or the service's host, else one or two letters or an emoji. */
const portrait = ({ avatar, widgetName }, t) => {
  const text = [...(/^(https?:|\/)/.test(avatar) ? '' : avatar) || t('name')].slice(0, avatar ? 2 : 1).join('')
  const node = h('span', { class: 'avatar', 'aria-hidden': 'true' }, text)
  const url = /^(https?:|\/)/.test(avatar) && safeAddress(avatar)
  if (url && [location.origin, ORIGIN].includes(url.origin)) {
    const picture = h('img', { alt: '', src: url.href, onload: () => node.replaceChildren(picture) })
  }
  return node
}

/** Tells a screen reader what has been written since the last call, up to the last finished sentence. */
const reader = (say) => {
  let told = 0
  return (text, last) => {
    const all = plain(last ? text : settled(text))
    const ends = [...all.matchAll(/[.!?…]['")\]]?\s|[。！？؟]|\n/g)]
    const end = last ? all.length : ends.length ? ends.at(-1).index + ends.at(-1)[0].length : 0
    const fresh = all.slice(told, end).trim()
    if (end > told) told = end
    if (fresh) say(fresh)
  }
}
