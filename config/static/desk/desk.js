'use strict'
;(() => {
  const token = () => document.querySelector('[name=csrfmiddlewaretoken]')?.value || ''
  const post = (url, body) => fetch(url, { method: 'POST', body, headers: { 'X-CSRFToken': token() }, credentials: 'same-origin' })
  const say = (node, text) => {
    node.textContent = text
  }

  const LOGGED_OUT = 'You have been logged out. Reload the page and log in again.'
  const FAILED = 'That did not work. Reload the page and try again.'

  /** A button with data-copy="#id" copies that element's text, and says so. */
  const copy = async (button) => {
    const text = document.querySelector(button.dataset.copy).textContent.trim()
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      const area = document.body.appendChild(Object.assign(document.createElement('textarea'), { value: text }))
      area.select()
      document.execCommand('copy')
      area.remove()
    }
    const before = button.textContent
    say(button, 'Copied')
    setTimeout(() => say(button, before), 2000)
  }

  /** A form with data-fragment="#id" puts the answer's HTML into that element. */
  const ask = async (form) => {
    const target = document.querySelector(form.dataset.fragment)
    const button = form.querySelector('button')
    button.disabled = true
    say(target, 'One moment…')
    try {
      const response = await post(form.action, new FormData(form))
      if (response.redirected) say(target, LOGGED_OUT)
      else if (response.ok) target.innerHTML = await response.text()
      else say(target, FAILED)
    } catch {
      say(target, FAILED)
    }
    button.disabled = false
  }

  /** POST a form, telling `sending(per cent)` as it goes out; {ok, body} of the JSON answer, or of a page in its place. */
  const send = (url, form, sending) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      request.upload.onprogress = (event) => sending(Math.round((100 * event.loaded) / event.total))
      request.onerror = reject
      request.onload = () => {
        const ok = request.status < 300
        try {
          resolve({ ok, body: JSON.parse(request.responseText) })
        } catch {
          resolve({ ok: false, body: { error: ok ? LOGGED_OUT : FAILED } })
        }
      }
      request.open('POST', url)
      request.setRequestHeader('X-CSRFToken', token())
      request.send(form)
    })

  /** A row of the table of files: its name, a bar, and what is being done with it. */
  const rowOf = (file) => {
    const row = document.querySelector('#desk-files').insertRow()
    row.insertCell().textContent = file.name
    row.insertCell().append(Object.assign(document.createElement('progress'), { max: 100, value: 0, ariaLabel: file.name }))
    row.insertCell().setAttribute('role', 'status')
    return row
  }
  const show = (row, text, kind, percent) => {
    const state = row.querySelector('[role=status]')
    state.className = kind
    say(state, text)
    const bar = row.querySelector('progress')
    if (bar && percent !== undefined) bar.value = percent
    if (bar) bar.hidden = kind === 'bad'
  }

  /** Send the files one after the other, then follow what becomes of them. */
  const upload = async (drop, chosen) => {
    const files = drop.dataset.document ? [...chosen].slice(0, 1) : [...chosen]
    document.querySelector('#desk-results').hidden = false
    const rows = files.map(rowOf)
    for (const [place, file] of files.entries()) {
      const row = rows[place]
      const form = new FormData()
      form.append('file', file)
      if (drop.dataset.document) form.append('document', drop.dataset.document)
      else form.append('client', document.querySelector('#desk-client').value)
      try {
        const { ok, body } = await send(drop.dataset.upload, form, (percent) => show(row, `Sending, ${percent} %`, ''))
        if (!ok) {
          show(row, body.error.message ?? body.error, 'bad') // the desk's own words, or the service's
          continue
        }
        row.cells[0].replaceChildren(Object.assign(document.createElement('a'), { href: body.url, textContent: file.name }))
        row.dataset.version = body.version
        if (drop.dataset.document) row.dataset.reload = 'yes'
        show(row, 'Waiting', '', 0)
        follow(drop.dataset.progress)
      } catch {
        show(row, 'Could not be sent. Is the connection there?', 'bad')
      }
    }
  }

  let following = 0
  const follow = async (url) => {
    const turn = ++following
    for (;;) {
      const rows = [...document.querySelectorAll('tr[data-version]:not([data-done])')]
      if (!rows.length || turn !== following) return
      try {
        const response = await fetch(url + '?' + rows.map((row) => 'version=' + row.dataset.version).join('&'), { credentials: 'same-origin' })
        if (response.redirected) return rows.forEach((row) => show(row, LOGGED_OUT, 'bad'))
        const { versions } = await response.json()
        for (const row of rows) {
          const now = versions[row.dataset.version]
          if (!now) continue
          show(row, now.text, { completed: 'good', failed: 'bad' }[now.status] || '', now.percent)
          if (now.done) row.dataset.done = 'yes'
          if (now.done && row.dataset.reload) location.reload()
        }
      } catch {
        /* the next look may succeed */
      }
      await new Promise((done) => setTimeout(done, 800))
    }
  }

  /** The preview beside the widget's form shows the values as they are typed. */
  let pending
  const redraw = () => {
    const frame = document.querySelector('iframe[data-preview]')
    if (!frame) return
    clearTimeout(pending)
    pending = setTimeout(() => {
      const values = new URLSearchParams()
      for (const name of ['primary_color', 'position', 'welcome_message', 'widget_name']) {
        const field = document.querySelector(`[name=${name}]`)
        if (field) values.set(name, field.value)
      }
      frame.src = frame.dataset.preview + '?' + values
    }, 400)
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-copy]')
    if (button) copy(button)
  })
  document.addEventListener('submit', (event) => {
    const form = event.target
    if (form.dataset.fragment) {
      event.preventDefault()
      ask(form)
    } else if (form.dataset.sure && !confirm(form.dataset.sure)) event.preventDefault()
  })
  document.addEventListener('change', (event) => {
    if (event.target.id === 'desk-kind') document.querySelector('#desk-scopes').hidden = event.target.value !== 'secret'
    if (event.target.id === 'desk-file') {
      upload(event.target.closest('.desk-drop'), event.target.files)
      event.target.value = ''
    }
  })
  document.addEventListener('input', (event) => {
    if (event.target.closest('#widgetconfig_form')) redraw()
  })
  /** The theme's tabs are links that lead nowhere: a keyboard reaches them as buttons. */
  const reachTabs = () => {
    for (const tab of document.querySelectorAll('form nav > a:not([href])')) {
      tab.tabIndex = 0
      tab.role = 'button'
      tab.addEventListener('keydown', (event) => {
        if (!['Enter', ' '].includes(event.key)) return
        event.preventDefault()
        tab.click()
      })
    }
  }
  /** The field that searches for a client names itself by its value: a screen reader is told its label. */
  const nameChoosers = () => {
    for (const select of document.querySelectorAll('.desk-choose select')) {
      const box = select.parentNode.querySelector('[role=combobox]')
      box?.removeAttribute('aria-labelledby')
      box?.setAttribute('aria-label', select.labels[0].firstChild.textContent.trim())
      for (const name of ['role', 'aria-readonly']) box?.querySelector('.select2-selection__rendered').removeAttribute(name)
    }
  }
  // jQuery calls in order, and later than the browser may say `load`: the fields have been set up by then.
  window.addEventListener('load', () => window.django?.jQuery?.(nameChoosers))
  document.addEventListener('DOMContentLoaded', () => {
    reachTabs()
    const drop = document.querySelector('.desk-drop')
    // The theme would look for its own text field beside every file field, and fail where there is none.
    for (const field of document.querySelectorAll('.desk input[type=file]')) field.hasChangeListener = true
    for (const name of ['dragover', 'dragleave', 'drop'])
      drop?.addEventListener(name, (event) => {
        event.preventDefault()
        drop.classList.toggle('over', name === 'dragover')
        if (name === 'drop') upload(drop, event.dataTransfer.files)
      })
    const watched = document.querySelector('[data-progress]')
    if (watched) follow(watched.dataset.progress)
  })
})()

// An element with data-poll="url" tells what that address says ({text, done}), and reloads the page at the end.
;(() => {
  const poll = async (node) => {
    for (;;) {
      try {
        const response = await fetch(node.dataset.poll, { credentials: 'same-origin' })
        if (response.redirected) return location.reload() // to the login, and back
        const { text, percent, done } = await response.json()
        if (done) return location.reload()
        if (node.textContent !== text) node.textContent = text
        const bar = document.querySelector('[data-poll-bar]')
        if (bar && percent !== undefined) bar.value = percent
      } catch {
        /* the next look may succeed */
      }
      await new Promise((next) => setTimeout(next, 1000))
    }
  }
  document.addEventListener('DOMContentLoaded', () => document.querySelectorAll('[data-poll]').forEach(poll))
})()
