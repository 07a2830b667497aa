/*
 * The widget's start and its public face, window.ChatConnect. Nothing but the launcher is made before the chat is
 * first opened. What the page says in ChatConnectConfig stands above the service's settings, and configure() above both.
 */

const script = document.currentScript
const page = { ...(script?.chatConfig || window.ChatConnectConfig), ...(script?.dataset.apiKey && { apiKey: script.dataset.apiKey }) }
const BASE = String(page.baseUrl || script?.dataset.baseUrl || (script ? new URL(script.src).origin : '')).replace(/\/+$/, '')
const ORIGIN = safeAddress(BASE || '/')?.origin
const log = (text) => console.warn('[ChatConnect] ' + text)

const listeners = {}
const emit = (name, detail) => {
  for (const listener of [...(listeners[name] || [])]) {
    try {
      listener(detail)
    } catch (error) {
      console.error(error)
    }
  }
}

const tabMemory = (open) => {
  try {
    if (open == null) return sessionStorage.getItem('ChatConnect') === 'open'
    sessionStorage.setItem('ChatConnect', open ? 'open' : '')
  } catch {
    /* blocked: the chat just does not reopen by itself */
  }
  return false
}

/** The whole widget of a page, made when the service has told its settings. */
const launch = (service, served) => {
  let options = {}
  const host = document.createElement('div')
  const root = host.attachShadow({ mode: 'open' })
  const [rules, colours] = [new CSSStyleSheet(), new CSSStyleSheet()]
  rules.replaceSync(CSS)
  root.adoptedStyleSheets = [rules, colours]
  const store = openStore('ChatConnect:' + page.apiKey, settle(served, page).sessionHours)
  const frame = h('div', { class: 'frame', role: 'region' })
  root.append(frame)
  const dark = matchMedia('(prefers-color-scheme: dark)')
  const wide = matchMedia('(min-width: 481px) and (min-height: 431px)')
  let panel = null
  let launcher = null
  let before = null

  const app = { service, emit, turns: [], token: () => store.read().token, say: (text) => panel?.say(text) }
  const talk = conversation(app, store, () => panel)
  Object.assign(app, talk)

  const style = () => {
    const { primaryColor: brand, theme, position, size, offsetX, offsetY } = app.settings
    frame.className = `frame ${position} ${size} ${theme === 'dark' || (theme === 'auto' && dark.matches) ? 'dark' : 'light'}`
    frame.dir = app.t.direction
    frame.lang = app.t.locale
    frame.setAttribute('aria-label', app.t('name'))
    colours.replaceSync(
      `:host{--font:${getComputedStyle(document.body).fontFamily};--brand:${brand};--ink:${inkOn(brand)};--light:${legibleOn(brand, '#eef1f4')};--dark:${legibleOn(brand, '#262b31')};--x:${offsetX}px;--y:${offsetY}px}`,
    )
  }
  const drawLauncher = () => {
    const { launcherIcon, launcherText } = app.settings
    const face = SHAPES[launcherIcon] ? icon(launcherIcon) : h('span', null, launcherIcon)
    const old = launcher
    launcher = h('button', { type: 'button', class: 'launcher' + (launcherText ? ' wide' : ''), 'aria-label': app.t('open') + (launcherText && `: ${launcherText}`), 'aria-haspopup': 'dialog', onclick: () => open() }, face, launcherText ? h('span', { class: 'text' }, launcherText) : '')
    if (old) old.replaceWith(launcher)
    else frame.append(launcher)
    launcher.hidden = Boolean(panel && !panel.node.hidden)
  }
  const drawPanel = () => {
    const old = panel
    panel = buildPanel(app)
    panel.node.hidden = !old || old.node.hidden
    if (old) {
      panel.input.value = old.input.value
      old.node.replaceWith(panel.node)
    } else frame.append(panel.node)
    panel.fill()
    panel.working(app.busy())
    network()
  }
  const apply = () => {
    app.settings = settle(served, page, options)
    app.t = words(app.settings)
    style()
    drawLauncher()
    if (panel) drawPanel()
  }

  const network = () => panel?.notice(navigator.onLine === false ? app.t('offline') : '')
  /** Keeps the full-screen dialog above the on-screen keyboard. */
  const keyboard = () => {
    if (!panel || !window.visualViewport) return
    const { height, offsetTop } = visualViewport
    panel.node.style.setProperty('--height', wide.matches ? '' : height + 'px')
    panel.node.style.setProperty('--top', wide.matches ? '' : offsetTop + 'px')
  }

  /** Open the chat. `quiet` leaves the focus where it is (after a page change). */
  const open = (quiet) => {
    if (panel && !panel.node.hidden) return
    if (!panel) {
      drawPanel()
      app.restore()
    }
    before = root.activeElement || document.activeElement
    panel.node.hidden = false
    launcher.hidden = true
    tabMemory(true)
    keyboard()
    panel.fill()
    if (quiet !== true) (matchMedia('(pointer: coarse)').matches ? panel.node : panel.input).focus({ preventScroll: true })
    emit('open')
  }
  const close = () => {
    if (!panel || panel.node.hidden) return
    const had = root.activeElement
    panel.node.hidden = true
    launcher.hidden = false
    launcher.classList.remove('news')
    tabMemory(false)
    if (had) (before && before.isConnected && before !== document.body && before !== host && !launcher.contains(before) ? before : launcher).focus({ preventScroll: true })
    emit('close')
  }
  app.close = close
  app.news = () => {
    if (!panel.node.hidden) return
    launcher.classList.add('news')
    launcher.setAttribute('aria-label', `${app.t('open')} (${app.t('latest')})`)
  }

  const watched = [
    [dark, 'change', style],
    [window, 'online', network],
    [window, 'offline', network],
    [wide, 'change', keyboard],
    ...(window.visualViewport ? [[visualViewport, 'resize', keyboard], [visualViewport, 'scroll', keyboard]] : []),
  ]
  for (const [target, name, listener] of watched) target.addEventListener(name, listener)

  apply()
  document.documentElement.append(host)
  if (app.pending()) {
    drawPanel()
    app.restore()
  }
  if (tabMemory() && wide.matches) open(true)

  return {
    open,
    close,
    ask: (text) => {
      open()
      return app.ask(text)
    },
    configure: (more) => {
      options = { ...options, ...more }
      apply()
    },
    destroy: () => {
      app.stop(true)
      for (const [target, name, listener] of watched) target.removeEventListener(name, listener)
      host.remove()
    },
  }
}

const begin = async () => {
  if (!page.apiKey) return log('apiKey is missing: set window.ChatConnectConfig = {apiKey, baseUrl} before the script.')
  if (!ORIGIN) return log(`baseUrl is not an address: ${BASE}`)
  if (!document.adoptedStyleSheets || !Element.prototype.attachShadow) return log('this browser is too old for the chat.')
  const service = connect(BASE + '/api/widget', page.apiKey)
  try {
    const { widget } = await service.json('/config')
    return launch(service, widget)
  } catch (failure) {
    return log(failure.status ? `the service refused: ${failure.message}` : `no service at ${BASE}; the chat stays away. (${failure.message})`)
  }
}

if (window.ChatConnect) log('the widget is already on this page.')
else {
  const started = begin()
  let gone = false
  const later = (name) => async (value) => {
    const widget = await started
    return widget && !gone ? widget[name](value) : undefined
  }
  window.ChatConnect = {
    version: VERSION,
    open: later('open'),
    close: later('close'),
    ask: later('ask'),
    configure: later('configure'),
    /** Listen to ready, open, close, question, answer, error, feedback or erase; returns what stops listening. */
    on: (name, listener) => {
      ;(listeners[name] ||= new Set()).add(listener)
      return () => listeners[name].delete(listener)
    },
    destroy: async () => {
      await later('destroy')()
      gone = true
      delete window.ChatConnect
    },
  }
  started.then((widget) => widget && emit('ready'))
}
