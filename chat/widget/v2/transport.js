/** Why a request gave no answer: `code` is the contract's, or NETWORK (nobody answered) or STOPPED (by the visitor). */
class Failure extends Error {
  constructor(code, message, status, after) {
    super(message || code)
    Object.assign(this, { code, status, after })
  }
}

const SECONDS = { short: 15, first: 15, silence: 45, whole: 100 }
const PAUSES = [0.3, 1, 2, 4, 8, 8, 8]

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))

/** A signal that `stop`, or `seconds` without a call of `beat`, aborts. Call `end` when done. */
const deadline = (stop, seconds) => {
  const own = new AbortController()
  const abort = () => own.abort()
  let timer = setTimeout(abort, seconds * 1000)
  if (stop) stop.addEventListener('abort', abort)
  return {
    signal: own.signal,
    beat: (next) => {
      clearTimeout(timer)
      timer = setTimeout(abort, next * 1000)
    },
    end: () => {
      clearTimeout(timer)
      if (stop) stop.removeEventListener('abort', abort)
    },
  }
}

/** The Failure that an error response describes; a proxy's HTML page counts by its status. */
const refusal = async (response) => {
  let body = {}
  try {
    body = await response.json()
  } catch {
    /* not the service's own words */
  }
  const { code, message, details } = body.error || {}
  const wait = Number(response.headers.get('Retry-After')) || (Date.parse(details?.resetAt) - Date.now()) / 1000
  const known = { 401: 'INVALID_API_KEY', 403: 'DOMAIN_NOT_ALLOWED', 404: 'NOT_FOUND', 429: 'RATE_LIMITED', 504: 'TIMEOUT' }
  return new Failure(code || known[response.status] || 'PROCESSING_ERROR', message, response.status, wait > 0 ? wait : 0)
}

/** The service as functions. `base` ends in /api/widget; each request has a deadline and carries the key. */
const connect = (base, key) => {
  const request = async (path, options, limit) => {
    const { token, ...headers } = options.headers || {}
    if (options.body) headers['Content-Type'] = 'application/json'
    if (token) headers['X-Session-Token'] = token
    let response
    try {
      response = await fetch(base + path, {
        method: options.method || 'GET',
        body: options.body && JSON.stringify(options.body),
        headers: { ...headers, 'x-api-key': key },
        credentials: 'omit',
        referrerPolicy: 'strict-origin',
        cache: 'no-store',
        signal: limit.signal,
      })
    } catch (error) {
      throw new Failure('NETWORK', error.message)
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  const json = async (path, options = {}, stop, seconds = SECONDS.short) => {
    const limit = deadline(stop, seconds)
    try {
      const response = await request(path, options, limit)
      return response.status === 204 ? {} : await response.json()
    } catch (error) {
      throw error instanceof Failure ? error : new Failure('NETWORK', error.message)
    } finally {
      limit.end()
    }
  }

  /** Server-Sent Events of one response: yields {id, name, data}; returns when the server or the network ends it. */
  async function* events(path, options, stop) {
    const limit = deadline(stop, SECONDS.first)
    try {
      const response = await request(path, options, limit)
      if (!/event-stream/.test(response.headers.get('Content-Type'))) throw new Failure('NETWORK', 'not a stream')
      const reader = response.body.getReader()
      const decoder = new TextDecoder()
      let rest = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        limit.beat(SECONDS.silence)
        const frames = (rest + decoder.decode(value, { stream: true })).split('\n\n')
        rest = frames.pop()
        for (const frame of frames) yield readFrame(frame)
      }
    } finally {
      limit.end()
    }
  }

  /** Follow one stream to its last event: true when it came, false when the connection was cut before. */
  const drain = async (turn, stop, take) => {
    const source = turn.traceId
      ? events(`/chat/stream/${turn.traceId}`, { headers: { token: turn.token(), ...(turn.last && { 'Last-Event-ID': turn.last }) } }, stop)
      : events('/chat/stream', { method: 'POST', body: turn.body, headers: { 'Idempotency-Key': turn.key } }, stop)
    for await (const event of source) {
      if (event.id) turn.last = event.id
      if (!event.name) continue
      turn.cuts = 0
      if (event.name === 'start') turn.traceId = JSON.parse(event.data).traceId
      if (event.name === 'error') {
        const { code, message } = JSON.parse(event.data)
        throw new Failure(code, message, 200)
      }
      take(event.name, /^(start|sources|usage)$/.test(event.name) ? JSON.parse(event.data) : event.data)
      if (event.name === 'done') return true
    }
    return false
  }

  /** The same question without a stream; the same Idempotency-Key makes sure that it is answered and billed once. */
  const whole = async (turn, stop, take) => {
    const options = { method: 'POST', body: turn.body, headers: { 'Idempotency-Key': turn.key } }
    let answer
    try {
      answer = await json('/chat', options, stop, SECONDS.whole)
    } catch (error) {
      if (error.code !== 'NETWORK' || stop.aborted) throw error
      await sleep(1)
      answer = await json('/chat', options, stop, SECONDS.whole)
    }
    take('start', answer)
    take('chunk', answer.response)
    take('sources', answer.sources || [])
    take('done')
  }

  /**
   * Follow one answer to its end, whatever the network does. `turn` is {body, key, token()} for a new question or
   * {traceId, token()} for one asked earlier; `take(name, data)` is called for each event once and in order.
   * A cut before `start` falls back to one plain request (returned as true); a cut after it is resumed.
   */
  const follow = async (turn, stop, take, cut) => {
    turn.cuts = 0
    for (;;) {
      try {
        if (turn.plain) return await whole(turn, stop, take).then(() => true)
        if (await drain(turn, stop, take)) return false
      } catch (error) {
        if (stop.aborted) throw new Failure('STOPPED')
        if (turn.plain || (error.status && !(error.status > 499 && turn.traceId))) throw error
      }
      if (stop.aborted) throw new Failure('STOPPED')
      if (!turn.traceId) {
        turn.plain = true
        continue
      }
      if (turn.cuts >= PAUSES.length) throw new Failure('NETWORK')
      cut()
      await untilOnline(PAUSES[turn.cuts++], stop)
    }
  }

  return { json, follow }
}

/** Wait `seconds`, and where the browser knows that it is offline, up to a minute for it to come back. */
const untilOnline = async (seconds, stop) => {
  await sleep(seconds)
  for (let i = 0; i < 120 && navigator.onLine === false && !stop.aborted; i++) await sleep(0.5)
}

/** One frame of an event stream; `data:` lines are joined with newlines as the standard says. */
const readFrame = (frame) => {
  const event = { id: '', name: '' }
  const data = []
  for (const line of frame.split('\n')) {
    const [, field, value] = /^([^:]*):? ?([\s\S]*)$/.exec(line)
    if (field === 'data') data.push(value)
    else if (field === 'event') event.name = value
    else if (field === 'id') event.id = value
  }
  return { ...event, data: data.join('\n') }
}
