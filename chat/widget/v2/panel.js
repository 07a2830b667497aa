/** The dialog: everything a visitor sees once the chat is open. `app` has the words, the turns and the deeds. */
const buildPanel = (app) => {
  const { t, settings } = app
  const aloud = h('div', { class: 'sr', 'aria-live': 'polite' })
  const log = h('div', { class: 'log', role: 'log', 'aria-live': 'off', 'aria-label': t('name'), tabindex: 0 })
  const banner = h('p', { class: 'banner', role: 'status' })
  const input = h('textarea', { rows: 1, maxlength: 2000, placeholder: t('placeholder'), 'aria-label': t('message'), enterkeyhint: 'send' })
  const counter = h('small')
  const send = h('button', { class: 'send' })
  const entry = (key, act) =>
    h(
      'button',
      {
        onclick: () => {
          showMenu(false)
          act()
        },
      },
      t(key),
    )
  const menu = h('div', { class: 'menu', id: 'menu', hidden: true }, entry('fresh', app.clear), entry('erase', () => confirmErase()))
  const more = tool('menu', t('menu'), () => showMenu(menu.hidden), { 'aria-expanded': 'false', 'aria-controls': 'menu' })
  const node = h(
    'div',
    { class: 'panel', role: 'dialog', 'aria-modal': 'true', 'aria-labelledby': 'name', tabindex: -1 },
    h('div', { class: 'head' }, portrait(settings.avatar, t('name')), h('h2', { id: 'name', dir: 'auto' }, t('name')), more, tool('hide', t('close'), app.close)),
    menu,
    banner,
    log,
    h('form', null, h('div', { class: 'field' }, input, counter, send), h('small', null, t('note'))),
    aloud,
  )

  const showMenu = (open) => {
    menu.hidden = !open
    more.setAttribute('aria-expanded', open)
    if (open) menu.firstChild.focus()
    else more.focus()
  }
  const confirmErase = () => {
    const done = () => {
      veil.remove()
      input.focus()
    }
    const yes = () => {
      done()
      app.erase()
    }
    const cancel = h('button', { class: 'pill', onclick: done }, t('cancel'))
    const box = { class: 'confirm', role: 'alertdialog', 'aria-modal': 'true', 'aria-labelledby': 'asked' }
    const veil = h('div', { class: 'veil' }, h('div', box, h('p', { id: 'asked' }, t('eraseAsk')), cancel, h('button', { class: 'pill main', onclick: yes }, t('erase'))))
    node.append(veil)
    cancel.focus()
  }

  // Escape closes the innermost thing that is open; Tab stays inside the dialog.
  node.addEventListener('keydown', (event) => {
    const veil = node.querySelector('.veil')
    if (event.key === 'Escape' && !composing(event)) {
      if (veil) veil.querySelector('button').click()
      else if (menu.hidden) app.close()
      else showMenu(false)
    }
    if (event.key === 'Tab') {
      const stops = [...(veil || node).querySelectorAll('button:enabled,a[href],[tabindex="0"],textarea')].filter((stop) => stop.getClientRects().length)
      const [first, last] = event.shiftKey ? [stops.at(-1), stops[0]] : [stops[0], stops.at(-1)]
      if ([last, node].includes(node.getRootNode().activeElement)) {
        event.preventDefault()
        first.focus()
      }
    }
  })
  menu.addEventListener('focusout', ({ relatedTarget }) => {
    if (relatedTarget && relatedTarget.parentNode !== menu && relatedTarget !== more) {
      menu.hidden = true
      more.setAttribute('aria-expanded', false)
    }
  })

  const fit = () => {
    input.dir = input.value && 'auto' // an empty field takes the placeholder's direction
    input.style.height = 'auto'
    input.style.height = input.scrollHeight + 'px'
    counter.textContent = input.value.length > 1800 ? input.value.length + ' / 2000' : ''
    send.disabled = !app.busy() && !input.value.trim()
  }
  const submit = (event) => {
    event.preventDefault()
    if (app.busy() || !input.value.trim()) return
    app.ask(input.value)
    input.value = ''
    fit()
  }
  input.addEventListener('input', fit)
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !composing(event)) submit(event)
  })
  send.addEventListener('click', (event) => {
    if (app.busy() && event.detail < 2) app.stop() // the second click of a double one is not meant for what it finds
    submit(event)
  })

  const idea = (text) => h('li', null, h('button', { class: 'pill', dir: 'auto', onclick: () => app.ask(text) }, text))
  let atEnd = true
  const toEnd = () => {
    log.scrollTop = log.scrollHeight
  }
  log.addEventListener('scroll', () => {
    atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60
  })
  // What appears below it, the on-screen keyboard too, hides nothing of the end.
  new ResizeObserver(() => atEnd && toEnd()).observe(log)

  return {
    node,
    input,
    fit,
    /** Draw all turns anew. */
    fill: () => {
      for (const turn of app.turns) turnView(app, turn)
      const ideas = app.turns.length ? [] : settings.suggestedQuestions.slice(0, 6).map(idea)
      log.replaceChildren(
        h('div', { class: 'turn bot' }, h('div', { class: 'body' }, h('p', { dir: 'auto' }, t('welcome')))),
        ideas.length ? h('ul', { class: 'ideas', 'aria-label': t('suggestions') }, ...ideas) : '',
        ...app.turns.map((turn) => turn.view.node),
      )
      toEnd()
    },
    /** Draw one turn's change; a visitor who has scrolled up is left there. */
    update: (turn) => {
      turn.view.update()
      if (atEnd) toEnd()
    },
    /** Show whether an answer is being written. */
    working: (busy) => {
      const key = busy ? 'stop' : 'send'
      send.replaceChildren(icon(key))
      send.setAttribute('aria-label', t(key))
      send.title = t(key)
      fit()
    },
    notice: (text) => {
      banner.textContent = text
    },
    say: (text) => {
      aloud.append(h('p', null, text))
      if (aloud.childNodes.length > 20) aloud.firstChild.remove()
    },
  }
}

/** Whether a key is the input method's own; Safari tells by the code alone of the one that ends a composition. */
const composing = (event) => event.isComposing || event.keyCode === 229

/** The avatar: a picture by its path on the page's own host (/logo.png), else a letter or two or an emoji. */
const portrait = (avatar, name) =>
  h('span', { class: 'avatar', 'aria-hidden': 'true' }, /^\/\w/.test(avatar) ? h('img', { alt: '', src: location.origin + avatar }) : [...(avatar || name[0])].slice(0, 2).join(''))

/** Tells a screen reader what has been written since the last call, up to the last finished sentence. */
const reader = (say) => {
  let told = 0
  return (text, last) => {
    const end = last ? text.length : sentencesOf(text).slice(0, -1).join('').length
    const fresh = text.slice(told, end).trim()
    told = Math.max(told, end)
    if (fresh) say(fresh)
  }
}
