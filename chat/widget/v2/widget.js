/*
 * The widget's start and its public face, window.ChatConnect. Nothing but the launcher is made before the chat is first
 * opened. What the page says in ChatConnectConfig stands above the service's settings, and configure() above both.
 */

const script = document.currentScript
const page = { ...(script?.chatConfig || window.ChatConnectConfig), ...script?.dataset }
const BASE = String(page.baseUrl || (script && new URL(script.src).origin)).replace(/\/+$/, '')
const warn = (text) => console.warn('[ChatConnect] ' + text)

const listeners = {}
const emit = (name, detail) => {
  for (const listener of listeners[name] || []) {
    try {
      listener(detail)
    } catch (error) {
      console.error(error)
    }
  }
}

/** Whether the chat is open in this tab, so that it stays open from page to page. */
const remember = (open) => {
  try {
    if (open != null) sessionStorage.setItem('ChatConnect', open)
    return sessionStorage.getItem('ChatConnect')
  } catch {
    /* blocked: the chat does not open by itself */
  }
}

const readTexts = (locale) =>
  fetch(BASE + TEXTS_PATH + locale + '.json', { credentials: 'omit', signal: AbortSignal.timeout(SHORT * 1000) }).then((response) => response.json())

/** The widget of a page, made when the service has told its settings. */
const launch = (service, served, locale, texts) => {
  let options = {}
  let launcher
  let before
  const host = h('div')
  const root = host.attachShadow({ mode: 'open' })
  const [rules, colours] = [new CSSStyleSheet(), new CSSStyleSheet()]
  rules.replaceSync(CSS)
  root.adoptedStyleSheets = [rules, colours]
  const frame = h('div', { role: 'region' })
  root.append(frame)
  const dark = matchMedia('(prefers-color-scheme: dark)')
  const full = matchMedia('(max-width: 480px), (max-height: 430px)')

  const store = openStore('ChatConnect:' + page.apiKey, settle(served, page).sessionHours)
  const token = () => store.read().token
  const app = {
    service,
    emit,
    store,
    token,
    turns: [],
    say: (text) => app.panel.say(text),
    call: (path, more) => service.json(path, { ...more, headers: { 'X-Session-Token': token() } }),
    news: () => launcher.classList.toggle('news', !isOpen()),
    close: () => close(),
    network: () => app.panel?.notice(navigator.onLine === false ? app.t('offline') : ''),
  }
  Object.assign(app, conversation(app, store))
  const isOpen = () => app.panel && !app.panel.node.hidden

  const style = () => {
    const { primaryColor, theme, position, size, offsetX, offsetY } = app.settings
    const brand = contrast(primaryColor, WHITE) > 3 ? legibleOn(primaryColor, WHITE) : primaryColor
    frame.className = `frame ${position} ${size} ${theme === 'auto' && dark.matches ? 'dark' : theme}`
    colours.replaceSync(
      `:host{--font:${getComputedStyle(document.body).fontFamily};--brand:${brand};--ink:${inkOn(brand)};--light:${legibleOn(brand, '#eef1f4')};--dark:${legibleOn(brand, '#262b31')};--x:${offsetX}px;--y:${offsetY}px}`,
    )
  }
  /** Keeps the full-screen dialog above the on-screen keyboard. */
  const keyboard = () => {
    if (!isOpen()) return
    const { height, offsetTop } = visualViewport
    const set = (name, value) => app.panel.node.style.setProperty(name, full.matches ? value + 'px' : '')
    set('--height', height)
    set('--top', offsetTop)
  }

  /** Draw launcher and dialog anew from the settings in force. */
  const draw = () => {
    app.settings = settle(served, page, options)
    app.t = wording(app.settings, locale, texts)
    style()
    const { launcherIcon, launcherText } = app.settings
    const label = app.t('open') + (launcherText && ': ' + launcherText)
    launcher = h('button', { class: 'launcher', 'aria-label': label, onclick: () => open() }, SHAPES[launcherIcon] ? icon(launcherIcon) : launcherIcon, launcherText)
    frame.setAttribute('aria-label', app.t('name'))
    frame.lang = locale
    frame.dir = locale === 'ar' ? 'rtl' : 'ltr'
    launcher.hidden = isOpen()
    frame.replaceChildren(launcher)
    if (app.panel) drawPanel()
  }
  const drawPanel = () => {
    const old = app.panel
    app.panel = buildPanel(app)
    app.panel.node.hidden = !old || old.node.hidden
    app.panel.input.value = old ? old.input.value : ''
    frame.append(app.panel.node)
    app.panel.fill()
    app.panel.working(app.busy())
    app.network()
    if (served.people) import(BASE + TEXTS_PATH + 'people.js').then((part) => part.people(app, served, locale, h, wording, root), warn)
  }
  const prepare = () => {
    if (app.panel) return
    drawPanel()
    app.restored = app.restore()
  }

  /** `quiet` leaves the focus where it is: after a page change. */
  const open = (quiet) => {
    if (isOpen()) return
    prepare()
    before = document.activeElement
    launcher.classList.remove('news')
    launcher.hidden = true
    app.panel.node.hidden = false
    remember('open')
    keyboard()
    app.panel.fill()
    app.panel.fit()
    if (!quiet) (matchMedia('(pointer: coarse)').matches ? app.panel.node : app.panel.input).focus()
    emit('open')
  }
  const close = () => {
    if (!isOpen()) return
    const focused = root.activeElement
    app.panel.node.hidden = true
    launcher.hidden = false
    remember('')
    if (focused) (before?.isConnected && ![document.body, host].includes(before) ? before : launcher).focus()
    emit('close')
  }

  const life = new AbortController()
  const watch = (target, name, listener) => target.addEventListener(name, listener, { signal: life.signal })
  // The page's shortcuts, scrolling and traps of focus see only the host element, and would take these for their own.
  for (const name of ['keydown', 'keyup', 'focusin', 'mousedown', 'paste', 'wheel', 'touchmove'])
    frame.addEventListener(name, (event) => event.stopPropagation(), { passive: true })
  watch(dark, 'change', style)
  watch(full, 'change', keyboard)
  watch(window, 'pageshow', ({ persisted }) => persisted && app.panel && app.restore()) // gone back to, as it was then
  watch(window, 'online', app.network)
  watch(window, 'offline', app.network)
  watch(visualViewport, 'resize', keyboard)
  watch(visualViewport, 'scroll', keyboard)
  draw()
  document.documentElement.append(host)
  if (app.pending()) prepare()
  if (remember() && !full.matches) open(true)

  return {
    open: () => open(),
    close,
    ask: (text) => {
      open()
      return app.ask(text)
    },
    configure: async (more) => {
      options = { ...options, ...more }
      const wanted = language(settle(served, page, options).locale)
      if (wanted !== locale) [texts, locale] = [await readTexts(wanted), wanted]
      draw()
    },
    destroy: () => {
      app.stop()
      life.abort()
      host.remove()
    },
  }
}

const begin = async () => {
  try {
    if (!page.apiKey) throw Error('ChatConnectConfig.apiKey is missing')
    const service = connect(BASE + '/api/widget', page.apiKey)
    const wanted = language(page.locale)
    const ready = document.body || new Promise((done) => document.addEventListener('DOMContentLoaded', done))
    const [{ widget }, texts] = await Promise.all([service.json('/config'), readTexts(wanted), ready])
    const locale = language(settle(widget, page).locale)
    return launch(service, widget, locale, locale === wanted ? texts : await readTexts(locale))
  } catch (failure) {
    warn(`No chat on this page: ${failure.message} (${BASE})`)
  }
}

if (window.ChatConnect) warn('The chat is already on this page')
else {
  const started = begin()
  const later = (name) => async (value) => (await started)?.[name](value)
  window.ChatConnect = {
    version: VERSION,
    open: later('open'),
    close: later('close'),
    ask: later('ask'),
    configure: later('configure'),
    /** Listen to ready, open, close, question, answer, error, feedback or erase; returns what stops listening. */
    on: (name, listener) => {
      const heard = (listeners[name] ||= new Set())
      heard.add(listener)
      return () => heard.delete(listener)
    },
    destroy: () => {
      delete window.ChatConnect
      return later('destroy')()
    },
  }
  started.then((widget) => widget && emit('ready'))
}
