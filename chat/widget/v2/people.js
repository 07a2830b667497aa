/*
 * The part of the widget for clients whose people answer, too. It is loaded with the first opening of the chat, and
 * again whenever the dialog is made anew; `app.people` is what it has made for this page.
 */

const STYLE = `.people{padding:8px 16px;border-top:1px solid var(--line);text-align:center}.people:empty{display:none}
.people form{display:flex;gap:6px;padding:0;flex-wrap:wrap;justify-content:center}.people label{flex:1 0 100%}
.people input{flex:1;min-width:0;padding:7px 12px;font:inherit;color:inherit;background:var(--panel);border:1px solid var(--edge);border-radius:19px}
.people .pill{margin:2px}.who{display:block;margin-bottom:2px;font-size:.84em;font-weight:600;color:var(--quiet)}.turn:has(.who) .tools{display:none}
.with-person>form>small,.me+.bot:has(.who){display:none}
.people b::before{content:'';display:inline-block;width:9px;height:9px;margin-inline-end:7px;border-radius:50%;background:#1a9c50}`

const PAUSES = [1, 2, 4, 8, 15]

/** Adds people to the chat: who answers, what they write and that they type; a way to ask for them. */
export const people = (app, { people: offered }, locale, h, wording, root) => {
  if (!app.people) {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(STYLE)
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet]
    app.people = join(app, offered, h)
  }
  app.people.show(wording(app.settings, locale, TEXTS[locale]))
}

const join = (app, offered, h) => {
  let t
  let state = { person: null, waiting: false, staffed: offered.staffed }
  let form = null
  let left = false // an address
  let typing = false
  let quiet
  let stop
  let listened // the token that is listened with
  let drawn
  const bar = h('div', { class: 'people' })
  const line = h('p')

  const pill = (key, onclick) => h('button', { class: 'pill', type: 'button', onclick }, t(key))
  const draw = () => {
    const { person, waiting, staffed } = state
    const panel = app.panel.node
    panel.classList.toggle('with-person', !!person)
    if (!listened || person) form = null
    const words = person ? t(typing ? 'types' : 'with', person) : waiting ? t('waiting') : left ? t('left') : ''
    const shape = [words, staffed, waiting, left, listened, !!form, t.locale].join()
    if (bar.parentNode === panel && shape === drawn) return // a field in it keeps the focus
    drawn = shape
    if (bar.parentNode !== panel) panel.insertBefore(bar, panel.querySelector(':scope > form'))
    line.replaceChildren(person ? h('b', null, words) : words)
    const ways = person || !listened || form ? [] : [staffed && !waiting ? pill('call', call) : '', (!staffed || waiting) && !left ? pill('leave', leave) : '']
    bar.replaceChildren(...(words || form || ways.some(Boolean) ? [line, form || '', ...ways] : []))
  }

  /** Ask for a person; if nobody is there any more, offer to write. */
  const call = async () => {
    try {
      become(await app.call(`/sessions/${id()}/person`, { body: {} }))
      if (!state.staffed) leave()
    } catch {
      app.panel.notice(t('failed'))
    }
    app.panel.input.focus()
  }
  const leave = () => {
    const input = h('input', { type: 'email', required: true, maxlength: 254, autocomplete: 'email', 'aria-label': t('address'), placeholder: t('address') })
    const send = async (event) => {
      event.preventDefault()
      try {
        await app.call(`/sessions/${id()}/address`, { body: { email: input.value } })
      } catch (failure) {
        return app.panel.notice(t(failure.status === 400 ? 'wrong' : 'failed'))
      }
      app.panel.notice('')
      ;[left, form] = [true, null]
      draw()
      app.panel.input.focus()
    }
    form = h('form', { onsubmit: send }, h('label', null, t('note')), input, h('button', { class: 'pill' }, t('leave')))
    draw()
    input.focus()
  }

  const become = (next) => {
    const before = state.person?.name
    const now = next.person?.name
    state = next
    if (now && now !== before) app.say(t('came', { name: now }))
    if (before && !now) app.say(t('went', { name: before }))
    if (before !== now) typing = false
    draw()
  }
  const hear = {
    state: become,
    message: ({ traceId, person, message }) => {
      typing = false
      if (!app.turns.some((turn) => turn.traceId === traceId)) {
        app.turns = [...app.turns, { traceId, person, text: message, sources: [] }]
        app.panel.fill()
        app.say(`${person.name}: ${message}`)
        app.news()
        app.emit('answer', { answer: message, person: person.name, traceId })
      }
      draw()
    },
    typing: () => {
      if (!typing) app.say(t('types', state.person || {}))
      typing = true
      clearTimeout(quiet)
      quiet = setTimeout(() => {
        typing = false
        draw()
      }, 5000)
      draw()
    },
  }

  const id = () => app.store.read().id
  /** Listen as long as there is a conversation, wherever the connection breaks. */
  const listen = async (token) => {
    const own = (stop = new AbortController())
    listened = token
    draw()
    for (let cuts = 0; !own.signal.aborted; cuts++) {
      try {
        const last = app.turns.findLast((turn) => turn.traceId && !turn.live)?.traceId
        const headers = { 'X-Session-Token': token, ...(last && { 'Last-Event-ID': last }) }
        await app.service.stream(`/sessions/${id()}/events`, { headers, stop: own.signal }, ({ event, data }) => {
          cuts = 0
          if (hear[event] && !own.signal.aborted) hear[event](JSON.parse(data))
        })
      } catch (failure) {
        if ([401, 403, 404].includes(failure.status)) return
      }
      await new Promise((done) => setTimeout(done, 1000 * PAUSES[Math.min(cuts, PAUSES.length - 1)]))
    }
  }
  /** The token changes when a conversation begins, is forgotten or erased. */
  const look = async () => {
    await app.restored // what was said before comes from there, in its order
    if (!app.panel.node.isConnected) {
      clearInterval(timer) // destroyed
      return stop?.abort()
    }
    const token = app.token()
    if (token === listened || app.busy()) return
    stop?.abort()
    listened = undefined
    become({ person: null, waiting: false, staffed: state.staffed })
    left = false
    if (token) listen(token)
  }
  // A message to a person has no answer of its own: the reply that says so is hidden where the person can be seen.
  const { emit } = app
  app.emit = (name, detail) => {
    if (name === 'answer' && app.turns.at(-1)?.question && app.turns.at(-1).person) app.panel.fill()
    else emit(name, detail)
  }
  const timer = setInterval(look, 1000)

  return {
    show: (words) => {
      t = words
      look()
      draw()
    },
  }
}
