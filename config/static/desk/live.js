'use strict'
;(() => {
  const find = (id) => document.getElementById('live-' + id)
  const [line, log, form, who, take, give, write, text, trouble] =
    ['line', 'log', 'form', 'who', 'take', 'return', 'write', 'text', 'trouble'].map(find)
  const path = document.getElementById('live').dataset.socket
  const outbox = new Map() // what was sent and not confirmed, by id: sent again after a cut
  const say = (node, words) => {
    if (node && node.textContent !== words) node.textContent = words
  }
  let socket
  let pause = 500
  let mine = false
  let typedAt = 0

  const connect = () => {
    socket = new WebSocket(location.origin.replace(/^http/, 'ws') + path)
    socket.onopen = () => {
      pause = 500
      say(line, 'Live')
      line.className = 'desk-badge good'
      for (const message of outbox.values()) socket.send(JSON.stringify(message))
    }
    socket.onmessage = ({ data }) => {
      const { event, ...more } = JSON.parse(data)
      hear[event]?.(more)
    }
    socket.onclose = ({ code }) => {
      line.className = 'desk-badge warn'
      if (code === 4401) return say(line, 'You may not see this any more')
      if (code === 4404) return say(line, 'This conversation was erased')
      say(line, 'Connection lost. Trying again…')
      setTimeout(connect, (pause = Math.min(pause * 2, 8000)))
    }
  }

  const hear = {
    turn: ({ id, html }) => {
      const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 80
      const fresh = document.createRange().createContextualFragment(html)
      const old = document.getElementById('turn-' + id)
      if (old) old.replaceWith(fresh)
      else log.append(fresh)
      if (follow) log.scrollTop = log.scrollHeight
    },
    state: (state) => {
      if (!form) return
      const before = mine
      mine = state.mine
      say(who, mine ? `You have this conversation. The visitor sees you as ${state.person}.` : state.person ? `${state.person} has this conversation.` : state.waiting ? 'The visitor is waiting for a person. The assistant answers meanwhile.' : 'The assistant answers.')
      const focused = [take, give, text].includes(document.activeElement)
      take.hidden = !!state.person
      give.hidden = write.hidden = !mine
      if (mine && !before && focused) text.focus()
      if (!mine && before && focused) take.focus()
    },
    done: ({ id }) => {
      const message = outbox.get(id)
      outbox.delete(id)
      if (message?.type === 'say' && text.value.trim() === message.text) text.value = ''
      say(trouble, '')
    },
    failed: ({ id, message }) => {
      outbox.delete(id)
      say(trouble, message)
    },
  }

  const ask = (type, more) => {
    const message = { type, id: crypto.randomUUID?.() ?? uuid(), ...more }
    outbox.set(message.id, message)
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }
  /** crypto.randomUUID is missing on pages without TLS. */
  const uuid = () => {
    const address = URL.createObjectURL(new Blob())
    URL.revokeObjectURL(address)
    return address.slice(-36)
  }

  take?.addEventListener('click', () => ask('take'))
  give?.addEventListener('click', () => ask('return'))
  form?.addEventListener('submit', (event) => {
    event.preventDefault()
    const said = text.value.trim()
    if (said && ![...outbox.values()].some((message) => message.text === said)) ask('say', { text: said })
  })
  text?.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault()
      form.requestSubmit()
    }
  })
  text?.addEventListener('input', () => {
    if (Date.now() - typedAt < 2000 || socket.readyState !== WebSocket.OPEN || !text.value.trim()) return
    typedAt = Date.now()
    socket.send(JSON.stringify({ type: 'typing' }))
  })
  log.scrollTop = log.scrollHeight
  connect()
})()
