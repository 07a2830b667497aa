const FOLLOW_MINUTES = 10

/** The deeds of a conversation: they change `app.turns` and the store, and tell the panel (which may not be there yet). */
const conversation = (app, store, panel) => {
  const { service } = app
  let stopper = null

  const busy = () => Boolean(stopper)
  const pending = () => {
    const { running } = store.read()
    return running && running.at > Date.now() - FOLLOW_MINUTES * 6e4 ? running : null
  }
  const show = (turn) => panel()?.update(turn)

  /** Follow a turn to its end and show it as it grows. */
  const run = async (turn, request) => {
    const stop = (stopper = new AbortController())
    const tell = reader(app.say)
    let asked = false
    turn.status = 'live'
    const draw = () => {
      if (asked) return
      asked = true
      requestAnimationFrame(() => {
        asked = false
        if (turn.status === 'live') show(turn)
      })
    }
    const take = (name, data) => {
      panel()?.notice('')
      if (name === 'start') {
        turn.traceId = data.traceId
        store.keep({ id: data.sessionId, token: data.sessionToken, running: { ...request.saved, traceId: data.traceId } })
      }
      if (name === 'chunk') {
        turn.text += data
        tell(turn.text)
        draw()
      }
      if (name === 'sources') turn.sources = Array.isArray(data) ? data : []
    }
    panel()?.working(true)
    app.say(app.t('typing'))
    try {
      const fellBack = await service.follow(request, stop.signal, take, () => panel()?.notice(app.t('cut')))
      if (fellBack) app.plain = true
      turn.status = 'done'
    } catch (failure) {
      await mend(turn, failure)
    }
    if (stopper !== stop) return
    stopper = null
    const { running, ...rest } = store.read()
    if (rest.id && !stop.silent) store.keep({ running: null })
    tell(turn.text, true)
    if (turn.failure) app.say(explain(turn.failure, app.t))
    panel()?.notice('')
    show(turn)
    panel()?.working(false)
    if (turn.status === 'done') {
      app.news()
      app.emit('answer', { question: turn.question, answer: turn.text, sources: turn.sources, traceId: turn.traceId })
    } else if (turn.failure) app.emit('error', { code: turn.failure.code, message: turn.failure.message })
  }

  /** A failed turn: stopped by the visitor, or finished while nobody followed it, or really failed. */
  const mend = async (turn, failure) => {
    if (failure.code === 'STOPPED') {
      turn.status = 'stopped'
      return
    }
    const known = failure.code === 'NOT_FOUND' && turn.traceId ? (await history()).find((old) => old.traceId === turn.traceId && old.text) : null
    if (known) Object.assign(turn, known)
    else Object.assign(turn, { status: 'failed', failure })
  }

  /** The turns that the service remembers; none when it does not know the session (any more). */
  const history = async () => {
    const { id, token } = store.read()
    if (!token) return []
    try {
      const { messages } = await service.json(`/sessions/${id}/messages`, { headers: { token } })
      return turnsOf(messages)
    } catch (failure) {
      if (failure.status === 401 || failure.status === 404) store.forget()
      return []
    }
  }

  const begin = (question) => {
    const session = store.read().id || uuid()
    const { customFields } = app.settings
    const body = { message: question, sessionId: session, metadata: { userAgent: navigator.userAgent, pageUrl: location.origin + location.pathname, customFields } }
    return { body, key: uuid(), at: Date.now() }
  }
  const requestOf = (saved) => ({ ...saved, saved, token: app.token, plain: !saved.traceId && (app.plain || !app.settings.stream) })

  const ask = async (text) => {
    const question = String(text ?? '').trim().slice(0, 2000)
    if (!question || busy()) return
    const saved = begin(question)
    store.keep({ id: saved.body.sessionId, running: saved })
    const turn = { question, text: '', sources: [], status: 'live', saved }
    app.turns.push(turn)
    panel()?.fill()
    app.emit('question', { question })
    await run(turn, requestOf(saved))
  }

  /** Ask again: after a broken connection with the same key, so that an answer already made is not made twice. */
  const retry = async (turn) => {
    if (busy()) return
    const again = turn.failure?.code === 'NETWORK' && turn.saved
    turn.saved = again || begin(turn.question)
    Object.assign(turn, { text: '', sources: [], failure: null, status: 'live', traceId: null })
    store.keep({ id: turn.saved.body.sessionId, running: turn.saved })
    app.turns = [...app.turns.filter((other) => other !== turn), turn]
    panel()?.fill()
    panel()?.input.focus()
    await run(turn, requestOf(turn.saved))
  }

  /** Show the earlier turns, and follow the answer that was being written when the page was left. */
  const restore = async () => {
    const running = pending()
    const turn = running && { question: running.body.message, text: '', sources: [], status: 'live', saved: running }
    if (turn) {
      app.turns = [turn]
      stopper = new AbortController()
      panel()?.fill()
    }
    const before = (await history()).filter((old) => !running || old.traceId !== running.traceId)
    const asked = app.turns.filter((other) => other !== turn)
    app.turns = [...before, ...(turn ? [turn] : []), ...asked]
    if (app.turns.length) panel()?.fill()
    if (turn) await run(turn, requestOf(running))
  }

  const stop = (silent) => {
    if (!stopper) return
    stopper.silent = silent
    stopper.abort()
  }
  const clear = () => {
    const left = stopper
    stopper = null
    left?.abort()
    store.forget()
    app.turns = []
    panel()?.fill()
    panel()?.notice('')
    panel()?.working(false)
    panel()?.input.focus()
  }
  const fresh = () => clear()

  /** Erase what the service holds about this visitor, then what the browser holds. */
  const erase = async () => {
    const { id, token } = store.read()
    try {
      if (token) await service.json(`/sessions/${id}`, { method: 'DELETE', headers: { token } })
    } catch (failure) {
      if (failure.status !== 404 && failure.status !== 401) {
        panel().notice(app.t('eraseFailed'))
        return
      }
    }
    clear()
    panel().notice(app.t('erased'))
    app.emit('erase')
  }

  return { ask, retry, restore, stop, fresh, erase, busy, pending }
}

/** The service's messages as turns. */
const turnsOf = (messages) => {
  const turns = []
  for (const message of messages || []) {
    let turn = turns.find((other) => other.traceId === message.traceId)
    if (!turn) turns.push((turn = { traceId: message.traceId, question: '', text: '', sources: [], status: 'done' }))
    if (message.role === 'assistant') Object.assign(turn, { text: message.text || '', sources: message.sources || [], rating: message.rating })
    else turn.question = message.text
  }
  return turns
}
