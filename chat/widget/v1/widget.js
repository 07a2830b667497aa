/*
 * The entry for sites that embed the first widget: it reads ConferenceChatConfig, whose baseUrl ends in /api/widget,
 * and runs the present widget from the same host, without streaming.
 */
;(() => {
  'use strict'
  const config = window.ConferenceChatConfig || {}
  const baseUrl = String(config.baseUrl || new URL(document.currentScript.src).origin).replace(/\/+$/, '').replace(/\/api\/widget$/, '')
  const script = document.createElement('script')
  script.src = baseUrl + '/widget/v2/widget.js'
  script.async = true
  script.chatConfig = { ...config, baseUrl, stream: false }
  script.onerror = () => console.warn(`[ChatConnect] no service at ${baseUrl}; the chat stays away.`)
  document.head.append(script)
})()
