const FOLLOW_MINUTES = 10

/** The deeds of a conversation: they change `app.turns` and the store, and show it in the panel. */
const conversation = (app, store) => {
  let stopper = null

  const busy = () => !!stopper
  const pending = () => {
    const { running } = store.read()
    return running?.at > Date.now() - FOLLOW_MINUTES * 6e4 && running
  }
  const turnOf = (question, saved) => ({ question, text: '', sources: [], live: true, saved })

  /** Follow a turn to its end and show it as it grows. */
  const run = async (turn) => {
    const { saved } = turn
    const request = { ...saved, traceId: turn.traceId, token: app.token, plain: !turn.traceId && (app.plain || !app.settings.stream) }
    const stop = (stopper = new AbortController())
    const tell = reader(app.say)
    const mine = () => stopper === stop
    let drawn = true
    const draw = () => {
      if (!drawn) return
      drawn = false
      requestAnimationFrame(() => {
        drawn = true
        if (!turn.live || !mine()) return
        app.panel.update(turn)
        tell(turn.view.words())
      })
    }
    const take = (name, data) => {
      if (!mine()) return
      app.network()
      if (name === 'start') {
        request.traceId = turn.traceId = data.traceId
        turn.person = data.person
        store.keep({ id: data.sessionId, token: data.sessionToken, running: { ...saved, traceId: data.traceId } })
      }
      if (name === 'chunk') {
        turn.text += data
        draw()
      }
      if (name === 'sources') turn.sources = data || []
    }
    app.panel.working(true)
    app.say(app.t('typing'))
    try {
      await app.service.follow(request, stop.signal, take, () => app.panel.notice(app.t('cut')))
      app.plain = request.plain
    } catch (failure) {
      await mend(turn, failure)
    }
    if (!mine()) return
    stopper = null
    if (store.read().running?.key === saved.key) store.keep({ running: null }) // else it is another tab's
    finish(turn, tell)
  }

  const finish = (turn, tell) => {
    const { question, text, sources, traceId, failure } = turn
    turn.live = false
    app.network()
    app.panel.update(turn)
    app.panel.working(false)
    tell(turn.view.words(), true)
    if (failure) {
      app.say(explain(failure, app.t))
      if (failure.code !== 'STOPPED') app.emit('error', { code: failure.code, message: failure.message })
    } else {
      app.news()
      app.emit('answer', { question, answer: text, sources, traceId })
    }
  }

  /** A turn that failed; unless the service knows that it was finished while nobody followed it. */
  const mend = async (turn, failure) => {
    const lost = failure.code === 'NOT_FOUND' && turn.traceId
    const known = lost && (await history()).find((old) => old.traceId === turn.traceId && old.text)
    Object.assign(turn, known || { failure })
  }

  /** The turns that the service remembers; none when it does not know the session (any more). */
  const history = async () => {
    const { id, token } = store.read()
    const turns = []
    if (!token) return turns
    const { messages = [] } = await app.call(`/sessions/${id}/messages`).catch(() => ({}))
    for (const { traceId, role, message, sources, rating, person } of messages) {
      let turn = turns.find((other) => other.traceId === traceId)
      if (!turn) turns.push((turn = { traceId, text: '', sources: [] }))
      if (role === 'assistant') Object.assign(turn, { text: message, sources: sources || [], rating, person })
      else turn.question = message
    }
    return turns
  }

  const begin = (message) => {
    const metadata = { userAgent: navigator.userAgent, pageUrl: location.origin + location.pathname, customFields: app.settings.customFields }
    return { body: { message, sessionId: store.read().id || uuid(), metadata }, key: uuid(), at: Date.now() }
  }
  const start = (turn) => {
    store.keep({ id: turn.saved.body.sessionId, running: turn.saved })
    app.turns = [...app.turns.filter((other) => other.saved?.key !== turn.saved.key), turn]
    app.panel.fill()
    return run(turn)
  }

  const ask = (text) => {
    const question = String(text ?? '').trim().slice(0, 2000)
    if (!question || busy()) return
    app.emit('question', { question })
    return start(turnOf(question, begin(question)))
  }

  /**
   * Ask again with the same key, so that an answer already made is not made twice, and one that failed half-way is not
   * billed twice. One that was STOPPED, or given up (TIMEOUT), stays so under its key.
   */
  const retry = (turn) => {
    if (busy()) return
    app.turns = app.turns.filter((other) => other !== turn)
    start(turnOf(turn.question, /STOP|TIME/.test(turn.failure.code) ? begin(turn.question) : turn.saved))
    app.panel.input.focus()
  }

  /** Show the earlier turns, and follow the answer that was being written when the page was left. */
  const restore = async () => {
    const saved = pending()
    const before = (await history()).filter((old) => old.traceId !== saved?.traceId)
    app.turns = [...before, ...app.turns.filter((turn) => !before.some((old) => old.traceId === turn.traceId))]
    if (saved && !busy()) return start(Object.assign(turnOf(saved.body.message, saved), { traceId: saved.traceId }))
    app.panel.fill()
  }

  const stop = () => stopper?.abort()
  const clear = () => {
    stop()
    stopper = null
    store.forget()
    app.turns = []
    app.panel.fill()
    app.network()
    app.panel.working(false)
    app.panel.input.focus()
  }

  /** Erase what the service holds about this visitor, then what the browser holds. */
  const erase = async () => {
    while (busy() && !app.token()) await sleep(0.3) // without one, what is being asked can't be erased
    const { id, token } = store.read()
    try {
      if (token) await app.call('/sessions/' + id, { method: 'DELETE' })
    } catch (failure) {
      if (failure.status !== 404) return app.panel.notice(app.t('eraseFailed'))
    }
    clear()
    app.panel.notice(app.t('erased'))
    app.emit('erase')
  }

  return { ask, retry, restore, stop, clear, erase, busy, pending }
}
