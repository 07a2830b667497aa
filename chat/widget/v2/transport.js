/** Why there is no answer: `code` is the contract's, or NETWORK (nobody answered) or STOPPED (by the visitor). */
class Failure extends Error {
  constructor(code, message, status, wait) {
    super(message || code)
    Object.assign(this, { code, status, wait })
  }
}

// Seconds: for a small request and to the first event; between two events; for a whole answer in one piece.
const SHORT = 15
const SILENCE = 45
const WHOLE = 100
const PAUSES = [0.3, 1, 2, 4, 8, 8, 8]

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))

/** The Failure that an error response describes; a proxy's own page counts by its status. */
const refusal = async (response) => {
  const { error = {} } = await response.json().catch(() => ({}))
  const { status, headers } = response
  return new Failure(error.code || (status === 429 ? 'RATE_LIMITED' : 'PROCESSING_ERROR'), error.message, status, headers.get('Retry-After'))
}

/** One frame of an event stream; `data:` lines are joined with newlines, as the standard says. */
const readFrame = (frame) => {
  const event = { data: [] }
  for (const line of frame.split('\n')) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) // s: a dot alone stops at U+2028
    if (field === 'data') event.data.push(value)
    else event[field] = value
  }
  return { ...event, data: event.data.join('\n') }
}

/** The service as functions. `base` ends in /api/widget; each request carries the key and has a deadline. */
const connect = (base, key) => {
  /** Calls `use(response, beat)`; `beat(seconds)` moves the deadline. `stop` is an AbortSignal. */
  const request = async (path, { body, headers, method, stop }, seconds, use) => {
    const own = new AbortController()
    const abort = () => own.abort()
    let timer
    const beat = (next) => {
      clearTimeout(timer)
      timer = setTimeout(abort, next * 1000)
    }
    beat(seconds)
    stop?.addEventListener('abort', abort)
    try {
      const response = await fetch(base + path, {
        method: method || (body ? 'POST' : 'GET'),
        body: body && JSON.stringify(body),
        headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }), 'x-api-key': key },
        credentials: 'omit',
        referrerPolicy: 'strict-origin',
        cache: 'no-store',
        signal: own.signal,
      })
      if (!response.ok) throw await refusal(response)
      return await use(response, beat)
    } catch (error) {
      throw stop?.aborted ? new Failure('STOPPED') : error instanceof Failure ? error : new Failure('NETWORK', error.message)
    } finally {
      clearTimeout(timer)
      stop?.removeEventListener('abort', abort)
    }
  }
  const json = (path, options = {}, seconds = SHORT) => request(path, options, seconds, (response) => (response.status === 204 ? {} : response.json()))

  /** Gives `each` the frames of a stream until it returns true; false when the connection ended before. */
  const stream = (path, options, each) =>
    request(path, options, SHORT, async (response, beat) => {
      const reader = response.body.getReader()
      const decoder = new TextDecoder()
      let rest = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return false
        beat(SILENCE)
        const frames = (rest + decoder.decode(value, { stream: true })).split('\n\n')
        rest = frames.pop()
        if (frames.map(readFrame).some(each)) return true
      }
    })

  /** Follow one stream: true when its last event came, false when the connection ended before. */
  const drain = (turn, stop, take) => {
    const [path, options] = turn.traceId
      ? [`/chat/stream/${turn.traceId}`, { headers: { 'X-Session-Token': turn.token(), ...(turn.last && { 'Last-Event-ID': turn.last }) } }]
      : ['/chat/stream', question(turn)]
    return stream(path, { ...options, stop }, ({ id, event, data }) => {
      turn.last = id || turn.last
      turn.cuts = 0
      if (event === 'error') {
        const { code, message } = JSON.parse(data)
        throw new Failure(code, message, 200)
      }
      if (event) take(event, event === 'chunk' || event === 'done' ? data : JSON.parse(data))
      return event === 'done'
    })
  }

  const question = (turn) => ({ body: turn.body, headers: { 'Idempotency-Key': turn.key } })

  /** The same question without a stream; the same Idempotency-Key has it answered and billed once. */
  const whole = async (turn, stop, take) => {
    const ask = () => json('/chat', { ...question(turn), stop }, WHOLE)
    const answer = await ask().catch(async (failure) => {
      if (failure.code !== 'NETWORK') throw failure
      await sleep(1)
      return ask()
    })
    take('start', answer)
    take('chunk', answer.response)
    take('sources', answer.sources)
    return true
  }

  /**
   * Follow one answer to its end, whatever the network does. `turn` is {body, key, token()}, or for one asked earlier
   * {traceId, token()}; `take(name, data)` gets each event once and in order. A connection that breaks before `start`
   * leads to one plain request (and leaves turn.plain true); one that breaks later is resumed, after a call of `cut`.
   */
  const follow = async (turn, stop, take, cut) => {
    turn.cuts = 0
    for (;;) {
      try {
        if (await (turn.plain ? whole : drain)(turn, stop, take)) return
      } catch (failure) {
        const final = turn.plain || failure.code === 'STOPPED' || (turn.traceId ? failure.status < 500 : failure.status)
        if (final) throw failure
      }
      if (turn.traceId) {
        if (turn.cuts === PAUSES.length) throw new Failure('NETWORK')
        cut()
        const pause = PAUSES[turn.cuts++]
        // Where the browser knows that it is offline, a minute's patience.
        for (let slept = 0; !stop.aborted && slept < (navigator.onLine === false ? 60 : pause); slept += 0.3) await sleep(0.3)
      } else turn.plain = true
    }
  }

  return { json, stream, follow }
}
