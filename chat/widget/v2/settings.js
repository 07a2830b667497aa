const DEFAULTS = {
  primaryColor: '#3b82f6',
  position: 'bottom-right',
  widgetName: 'Support',
  welcomeMessage: 'Hi! How can I help?',
  theme: 'auto',
  size: 'medium',
  locale: '',
  avatar: '',
  launcherIcon: 'chat',
  launcherText: '',
  suggestedQuestions: [],
  offsetX: 20,
  offsetY: 20,
  texts: {},
  customFields: {},
  sessionHours: 24,
  stream: true,
}

const CHOICES = {
  position: ['bottom-right', 'bottom-left'],
  theme: ['auto', 'light', 'dark'],
  size: ['small', 'medium', 'large'],
}

/** The settings in force: what is not of its default's kind, or not among its choices, is passed over. */
const settle = (...layers) => {
  const settings = { ...DEFAULTS }
  for (const [name, value] of layers.flatMap((layer) => Object.entries(layer || {}))) {
    const usual = DEFAULTS[name]
    const fits = typeof value === typeof usual && value !== null && Array.isArray(value) === Array.isArray(usual)
    const colour = name !== 'primaryColor' || /^#[0-9a-f]{6}$/i.test(value)
    if (fits && colour && (!CHOICES[name] || CHOICES[name].includes(value))) settings[name] = value
  }
  settings.suggestedQuestions = settings.suggestedQuestions.filter((text) => typeof text === 'string').slice(0, 6)
  return settings
}

/** The language among TEXTS that suits the wish, else the page, else the browser. */
const language = (wish) =>
  [wish, document.documentElement.lang, navigator.language].map((tag) => String(tag || '').slice(0, 2).toLowerCase()).find((code) => TEXTS[code]) || 'en'

/**
 * The words of the widget: t('page', {n: 3}). `texts` of the settings come first; the two texts that a client can
 * also set on the server are translated as long as they are the server's English defaults.
 */
const words = (settings) => {
  const locale = language(settings.locale)
  const own = { ...settings.texts }
  if (settings.widgetName !== DEFAULTS.widgetName) own.name = settings.widgetName
  if (settings.welcomeMessage !== DEFAULTS.welcomeMessage) own.welcome = settings.welcomeMessage
  const t = (key, values) => String(own[key] ?? TEXTS[locale][TEXT_KEYS.indexOf(key)]).replace(/\{(\w+)\}/g, (_, name) => values?.[name] ?? '')
  t.locale = locale
  t.direction = locale === 'ar' ? 'rtl' : 'ltr'
  return t
}

/** What a visitor is told about a Failure; empty when the visitor caused it. */
const explain = (failure, t) => {
  const { code, after } = failure
  if (code === 'STOPPED') return ''
  if (code === 'RATE_LIMITED' || code === 'QUOTA_EXCEEDED') return t('busy', { when: after ? fromNow(after, t.locale) : t('later') })
  if (/^(INVALID_API_KEY|CLIENT_INACTIVE|DOMAIN_|DEPLOYMENT_)/.test(code)) return t('closed')
  const key = { NETWORK: 'network', TIMEOUT: 'timeout', INVALID_REQUEST: 'invalid' }[code]
  return t(key || 'failed')
}

const fromNow = (seconds, locale) => {
  const minutes = Math.ceil(seconds / 60)
  return new Intl.RelativeTimeFormat(locale).format(minutes < 60 ? minutes : Math.ceil(minutes / 60), minutes < 60 ? 'minute' : 'hour')
}
