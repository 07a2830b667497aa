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

const FORMS = {
  primaryColor: /^#[0-9a-f]{6}$/i,
  position: /^bottom-(right|left)$/,
  theme: /^(auto|light|dark)$/,
  size: /^(small|medium|large)$/,
}

/** The settings in force: a value that is not of its default's kind or form is passed over. */
const settle = (...layers) => {
  const settings = { ...DEFAULTS }
  for (const layer of layers)
    for (const name of Object.keys(DEFAULTS)) {
      const value = layer?.[name]
      if (value?.constructor === DEFAULTS[name].constructor && (!FORMS[name] || FORMS[name].test(value))) settings[name] = value
    }
  return settings
}

/** The first of the page's wish, the page's own language and the browser's that there are texts for. */
const language = (wish) =>
  [wish, document.documentElement.lang, navigator.language].map((tag) => String(tag).slice(0, 2).toLowerCase()).find((code) => LANGUAGES.includes(code)) || 'en'

/**
 * The words of the widget: t('page', {n: 3}). Those in the settings' `texts` come first; the two that the service also
 * knows are translated as long as they are its English defaults.
 */
const wording = (settings, locale, texts) => {
  const { widgetName, welcomeMessage } = settings
  const own = {
    ...texts,
    ...(widgetName !== DEFAULTS.widgetName && { name: widgetName }),
    ...(welcomeMessage !== DEFAULTS.welcomeMessage && { welcome: welcomeMessage }),
    ...settings.texts,
  }
  const t = (key, values) => String(own[key]).replace(/\{(\w+)\}/g, (_, name) => values[name])
  t.locale = locale
  return t
}

/** What a visitor is told about a Failure. */
const explain = ({ code, status, wait }, t) => {
  if (/RATE|QUOTA/.test(code)) {
    const minutes = Math.ceil(wait / 60)
    return t('busy', { when: minutes > 0 ? new Intl.RelativeTimeFormat(t.locale).format(minutes, 'minute') : t('later') })
  }
  if (status === 401 || status === 403) return t('closed')
  return t({ STOPPED: 'stopped', NETWORK: 'network', TIMEOUT: 'timeout', INVALID_REQUEST: 'invalid' }[code] || 'failed')
}
