/*
 * A turn is {question, text, sources, traceId, rating, live, failure, person}; a person's has a name. A view draws whatever the turn holds now,
 * so it can be thrown away and made again.
 */

/** Makes turn.view: its `node`, `update()` to call when the turn has changed, and `words()`. */
const turnView = (app, turn) => {
  const { t } = app
  const body = h('div', { class: 'body' })
  const extras = h('div', { class: 'extras' })
  const typing = h('div', { class: 'typing' }, h('i'), h('i'), h('i'))
  const shelf = sourceShelf(t, turn)
  const draw = markdown(body, (number) => h('button', { class: 'cite', 'data-n': number, 'aria-label': number, 'aria-expanded': 'false', onclick: shelf.open(number) }))
  const speaker = (name, look) => h('span', { class: look || 'sr' }, name + ': ')
  const node = h(
    'div',
    null,
    turn.question ? h('div', { class: 'turn me' }, speaker(t('you')), h('p', { dir: 'auto' }, turn.question)) : '',
    h('div', { class: 'turn bot' }, turn.person ? speaker(turn.person.name, 'who') : speaker(t('name')), typing, body, extras),
  )
  const update = () => {
    const { live, text, sources, failure } = turn
    draw(text, live)
    typing.hidden = !live || text
    body.hidden = !text
    if (live) return extras.replaceChildren()
    for (const cite of body.querySelectorAll('.cite')) {
      const { n } = cite.dataset
      const source = sources[n - 1]
      if (source) cite.setAttribute('aria-label', t('source', { n, title: source.title }))
      else cite.replaceWith(`[${n}]`)
    }
    extras.replaceChildren(
      sources.length ? shelf.draw() : '',
      failure ? h('div', { class: 'trouble' }, h('p', null, explain(failure, t)), turn.question ? h('button', { class: 'pill', onclick: () => app.retry(turn) }, t('retry')) : '') : '',
      text ? tools(app, turn) : '',
    )
  }
  /** The answer as plain words; a citation mark's number is drawn by the style sheet and no part of them. */
  const words = () => body.innerText.replace(/ +(?=[.,;:!?\n]|$)/g, '')
  turn.view = { node, update, words }
  update()
}

/** Copy and feedback. */
const tools = (app, turn) => {
  const { t } = app
  const copy = tool('copy', t('copy'), async () => {
    await navigator.clipboard.writeText(turn.view.words())
    app.say(t('copied'))
    copy.replaceChildren(icon('copied'))
    setTimeout(() => copy.replaceChildren(icon('copy')), 2000)
  })
  const thumbs = app.token() && turn.traceId && !turn.failure ? ['up', 'down'].map((rating) => tool(rating, t(rating), () => rate(rating))) : []
  const show = (rating) => {
    turn.rating = rating
    thumbs.forEach((thumb, i) => thumb.setAttribute('aria-pressed', rating === ['up', 'down'][i]))
  }
  const rate = async (rating) => {
    const before = turn.rating
    show(rating)
    try {
      await app.call(`/messages/${turn.traceId}/feedback`, { body: { rating } })
      app.say(t('thanks'))
      app.emit('feedback', { traceId: turn.traceId, rating })
    } catch (failure) {
      show(before)
      app.say(explain(failure, t))
    }
  }
  show(turn.rating)
  return h('div', { class: 'tools' }, navigator.clipboard ? copy : '', ...thumbs)
}

/** The list of an answer's sources, and the card of the one that is open. `open(number)` makes a click listener. */
const sourceShelf = (t, turn) => {
  const node = h('div')
  let card = null
  let opener = null

  const close = () => {
    card.remove()
    opener.setAttribute('aria-expanded', false)
    opener.focus()
    opener = null
  }
  const open = (number) => (event) => {
    const source = turn.sources[number - 1]
    const from = event.currentTarget
    const again = from === opener
    if (opener) close()
    if (!source || again) return
    opener = from
    from.setAttribute('aria-expanded', true)
    const { title, page, excerpt } = source
    const said = from.className === 'cite' ? sentenceBefore(from) : ''
    const leave = tool('close', t('close'), close)
    const keydown = (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation()
        close()
      }
    }
    card = h(
      'div',
      { class: 'card', role: 'group', 'aria-label': t('source', { n: number, title }), onkeydown: keydown },
      h('div', { class: 'row' }, h('b', null, number), h('div', null, h('strong', { dir: 'auto' }, title), page ? h('small', null, t('page', { n: page })) : ''), leave),
      h('blockquote', { dir: 'auto', tabindex: 0 }, ...quoted(String(excerpt || ''), said)),
    )
    node.append(card)
    card.scrollIntoView({ block: 'nearest' })
    leave.focus({ preventScroll: true })
  }
  const draw = () => {
    const chips = turn.sources.map(({ title }, i) =>
      h('li', null, h('button', { class: 'chip', 'aria-expanded': 'false', onclick: open(i + 1) }, h('b', null, i + 1), h('span', { dir: 'auto' }, title))),
    )
    node.replaceChildren(h('small', null, t('sources')), h('ul', { class: 'chips' }, ...chips))
    return node
  }
  return { open, draw }
}

const sentencesOf = (text) => text.match(/(?:[^.!?。！？؟\n]|[.!?؟](?!\s|$))*(?:[.!?。！？؟\n]|$)\s*/g).filter(Boolean)

const sentenceBefore = (cite) => {
  const range = document.createRange()
  range.setStartBefore(cite.closest('p,li,td,div'))
  range.setEndBefore(cite)
  return sentencesOf(String(range)).at(-1) || ''
}

/** The excerpt as nodes, the sentence that shares most words with what was said of it marked. */
const quoted = (excerpt, said) => {
  const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}|\p{Lo}/gu) || []
  const known = new Set(words(said))
  const sentences = sentencesOf(excerpt)
  const scores = sentences.map((text) => words(text).filter((word) => known.has(word)).length / (text.length + 40))
  const best = Math.max(...scores)
  return sentences.map((text, i) => (best > 0 && scores[i] === best ? h('mark', null, text) : text))
}
