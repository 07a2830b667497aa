/*
 * A turn is {question, text, sources, traceId, rating, status, failure}; its status is live, done, stopped or failed.
 * A view draws whatever the turn holds now, so it can be thrown away and made again.
 */

const button = (label, shape, onclick, attributes) =>
  h('button', { type: 'button', class: 'tool', 'aria-label': label, title: label, onclick, ...attributes }, icon(shape))

/** The view of one turn: its `node`, and `update()` to call when the turn has changed. */
const turnView = (app, turn) => {
  const { t } = app
  const body = h('div', { class: 'body' })
  const typing = h('div', { class: 'typing', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'))
  const extras = h('div', { class: 'extras' })
  const shelf = sourceShelf(app, turn)
  const draw = markdown(body, (number) =>
    h('button', { type: 'button', class: 'cite', 'data-n': number, 'aria-expanded': 'false', onclick: (event) => shelf.open(number, event.currentTarget) }, String(number)),
  )
  const answer = h('div', { class: 'turn bot' }, h('span', { class: 'sr' }, t('name') + ': '), typing, body, extras)
  const node = h('div', { class: 'pair' })
  if (turn.question) node.append(h('div', { class: 'turn me' }, h('span', { class: 'sr' }, t('you') + ': '), h('p', { dir: 'auto' }, turn.question)))
  node.append(answer)

  const settleMarks = () => {
    for (const cite of body.querySelectorAll('.cite')) {
      const source = turn.sources[cite.dataset.n - 1]
      if (source) cite.setAttribute('aria-label', t('source', { n: cite.dataset.n, title: source.title }))
      else cite.replaceWith(`[${cite.dataset.n}]`)
    }
  }

  const update = () => {
    const live = turn.status === 'live'
    draw(turn.text, live)
    toggle(typing, 'hidden', !live || turn.text)
    toggle(body, 'hidden', !turn.text)
    if (live) return extras.replaceChildren()
    settleMarks()
    extras.replaceChildren(...ending(app, turn, shelf))
  }
  update()
  return { node, update }
}

/** What stands below an answer that has ended. */
const ending = (app, turn, shelf) => {
  const { t } = app
  const parts = []
  const trouble = turn.status === 'stopped' ? t('stopped') : turn.failure && explain(turn.failure, t)
  if (turn.status === 'done' && turn.sources.length) parts.push(shelf.node)
  if (trouble) {
    const again = turn.question && h('button', { type: 'button', class: 'retry', onclick: () => app.retry(turn) }, icon('retry'), t('retry'))
    parts.push(h('div', { class: 'trouble' }, h('p', null, trouble), again || ''))
  }
  if (turn.text) parts.push(tools(app, turn))
  return parts
}

/** Copy and feedback. */
const tools = (app, turn) => {
  const { t } = app
  const copy = button(t('copy'), 'copy', async () => {
    await navigator.clipboard.writeText(plain(turn.text))
    copy.replaceChildren(icon('tick'))
    app.say(t('copied'))
    setTimeout(() => copy.replaceChildren(icon('copy')), 2000)
  })
  const thumb = (rating) => button(t(rating), rating, () => rate(rating), { 'aria-pressed': String(turn.rating === rating) })
  const thumbs = turn.traceId && turn.status === 'done' && app.token() ? [thumb('up'), thumb('down')] : []
  const rate = async (rating) => {
    const before = turn.rating
    const show = () => thumbs.forEach((node, i) => node.setAttribute('aria-pressed', String(turn.rating === ['up', 'down'][i])))
    turn.rating = rating
    show()
    try {
      await app.service.json(`/messages/${turn.traceId}/feedback`, { method: 'POST', body: { rating }, headers: { token: app.token() } })
      app.say(t('thanks'))
      app.emit('feedback', { traceId: turn.traceId, rating })
    } catch (failure) {
      turn.rating = before
      show()
      app.say(explain(failure, t))
    }
  }
  return h('div', { class: 'tools' }, navigator.clipboard ? copy : '', ...thumbs)
}

/** The list of an answer's sources and the card of the one that is open. */
const sourceShelf = (app, turn) => {
  const { t } = app
  const node = h('div', { class: 'sources' })
  let opener = null
  let shown = 0

  const close = () => {
    const from = opener
    mark(0, null)
    node.querySelector('.card')?.remove()
    from?.focus()
  }
  const mark = (number, from) => {
    opener?.setAttribute('aria-expanded', 'false')
    from?.setAttribute('aria-expanded', 'true')
    opener = from
    shown = number
  }
  const open = (number, from) => {
    const source = turn.sources[number - 1]
    if (!source) return
    if (shown === number && opener === from) return close()
    mark(number, from)
    node.querySelector('.card')?.remove()
    const label = t('source', { n: number, title: source.title })
    const said = from.classList.contains('cite') ? sentenceBefore(from) : ''
    const card = h(
      'div',
      { class: 'card', role: 'group', 'aria-label': label, onkeydown: (event) => event.key === 'Escape' && (event.stopPropagation(), close()) },
      h('div', { class: 'head' }, h('b', null, String(number)), h('div', { class: 'grow' }, h('strong', { dir: 'auto' }, source.title), source.page ? h('span', null, t('page', { n: source.page })) : ''), button(t('closeSource'), 'cross', close)),
      h('blockquote', { dir: 'auto', tabindex: 0 }, ...quoted(source.excerpt || '', said)),
    )
    node.append(card)
    card.scrollIntoView({ block: 'nearest' })
    card.querySelector('button').focus({ preventScroll: true })
  }

  const list = h('ul', { 'aria-label': t('sources') })
  node.append(h('span', { class: 'label', 'aria-hidden': 'true' }, t('sources')), list)
  return {
    open,
    get node() {
      list.replaceChildren(
        ...turn.sources.map((source, i) =>
          h('li', null, h('button', { type: 'button', class: 'chip', 'aria-expanded': 'false', onclick: (event) => open(i + 1, event.currentTarget) }, h('b', null, String(i + 1)), h('span', { dir: 'auto' }, source.title))),
        ),
      )
      return node
    },
  }
}

const SENTENCE = /[^.!?。！？؟\n]+(?:[.!?。！？؟]+(?=\s|$)|[。！？]|[.!?]|\n|$)\s*/g

const sentenceBefore = (mark) => {
  const range = document.createRange()
  range.setStartBefore(mark.closest('p,li,td,th,div'))
  range.setEndBefore(mark)
  return (String(range).match(SENTENCE) || ['']).at(-1)
}

/** The excerpt as nodes, with the sentence that shares most words with what was said of it marked. */
const quoted = (excerpt, said) => {
  const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu) || []
  const known = new Set(wordsOf(said))
  const sentences = excerpt.match(SENTENCE) || [excerpt]
  const scores = sentences.map((text) => wordsOf(text).filter((word) => known.has(word)).length / Math.sqrt(text.length + 20))
  const best = Math.max(...scores)
  return sentences.map((text, i) => (best > 0 && scores[i] === best && sentences.length > 1 ? h('mark', null, text.trimEnd(), '') : text)).flatMap((part) => (part.tagName ? [part, ' '] : [part]))
}
