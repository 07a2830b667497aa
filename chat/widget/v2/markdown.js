/*
 * Markdown to DOM nodes. Nothing here parses HTML: every piece of an answer ends as a text node, or as one of the
 * elements made below, so an answer can't bring in a script, a handler or an image. Every search within a line is
 * bounded, so that hostile text costs no more than long text.
 */

const MAX_DEPTH = 6
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+/
const FENCE = /^\s{0,3}(```|~~~)/
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*$/
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/
const DIVIDER = /^\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?)?\s*$/
const QUOTE = /^\s{0,3}>\s?/

const INLINE = new RegExp(
  [
    '\\\\([!-/:-@\\[-`{-~])', // 1 an escaped mark
    '(`{1,3})([^\\n]{1,500}?)\\2(?!`)', // 3 code
    '!\\[([^\\]\\n]{0,300})\\]\\([^)\\n]{0,2000}\\)', // 4 an image: only its description is shown
    '\\[([^\\[\\]\\n]{1,300})\\]\\(\\s*<?([^\\s<>()]{0,2000}(?:\\([^\\s()]{0,200}\\)[^\\s<>()]{0,200})?)>?(?:\\s+"[^"\\n]{0,200}")?\\s*\\)', // 5, 6 a link
    '\\[(\\d{1,2}(?:\\s*,\\s*\\d{1,2}){0,9})\\]', // 7 citation marks
    '(\\*\\*|__)(?=\\S)([^\\n]{0,1000}?\\S)\\8', // 9 bold
    '(?<![\\w*])\\*(?=[^\\s*])([^*\\n]{0,500}[^\\s*])\\*(?![\\w*])', // 10 italic
    '(?<!\\w)_(?=[^\\s_])([^_\\n]{0,500}[^\\s_])_(?!\\w)', // 11 italic
    '~~(?=\\S)([^\\n]{1,500}?)~~', // 12 struck
    '<?(https?:\\/\\/[^\\s<>"`*\\]]{1,2000})>?', // 13 a bare address
    '(<br ?\\/?>|\\n)', // 14 a line break
  ].join('|'),
  'g'
)

/** The address when following it is harmless (web, mail, telephone), else null. Relative ones are the page's own. */
const safeAddress = (text) => {
  try {
    const url = new URL(text, location.href)
    return ['http:', 'https:', 'mailto:', 'tel:'].includes(url.protocol) ? url : null
  } catch {
    return null
  }
}

const link = (address, children) => {
  const url = safeAddress(address)
  if (!url) return h('span', null, ...children)
  const own = url.origin === location.origin
  return h('a', { href: url.href, rel: 'noopener nofollow', target: own ? null : '_blank' }, ...children)
}

/** Text within a line as nodes; `cite(number)` makes the node of a citation mark. */
const inline = (text, cite, depth = 0) => {
  if (depth > MAX_DEPTH) return [text]
  const nodes = []
  let end = 0
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(text.slice(end, match.index))
    end = match.index + match[0].length
    nodes.push(...mark(match, cite, (inner) => inline(inner, cite, depth + 1)))
  }
  nodes.push(text.slice(end))
  return nodes
}

const mark = (m, cite, inner) => {
  if (m[1]) return [m[1]]
  if (m[3] != null) return [h('code', null, m[3].trim() || m[3])]
  if (m[4] != null) return [m[4]]
  if (m[5] != null) return [link(m[6], inner(m[5]))]
  if (m[7]) return m[7].split(',').map((number) => cite(Number(number)))
  if (m[9]) return [h('strong', null, ...inner(m[9]))]
  if (m[10] || m[11]) return [h('em', null, ...inner(m[10] || m[11]))]
  if (m[12]) return [h('s', null, ...inner(m[12]))]
  if (m[13]) {
    const address = m[13].replace(/[.,;:!?'")\]]+$/, '')
    return [link(address, [address]), m[13].slice(address.length)]
  }
  return [h('br')]
}

/** An answer's blocks as raw text, so that a block which did not change while streaming is not drawn again. */
const blocks = (text) => {
  const lines = text.replace(/\r\n?/g, '\n').split('\n')
  const found = []
  let at = 0
  while (at < lines.length) {
    const from = at
    if (!lines[at].trim()) {
      at++
      continue
    }
    at = blockEnd(lines, at)
    found.push(lines.slice(from, at).join('\n'))
  }
  return found
}

/** The index after the last line of the block that begins at `at`. */
const blockEnd = (lines, at) => {
  const first = lines[at++]
  const more = (test) => {
    while (at < lines.length && test(lines[at])) at++
    return at
  }
  if (FENCE.test(first)) {
    const close = first.trim().slice(0, 3)
    more((line) => !line.trim().startsWith(close))
    return at + 1
  }
  if (HEADING.test(first) || RULE.test(first)) return at
  if (QUOTE.test(first)) return more((line) => QUOTE.test(line))
  if (isTable(lines, at - 1)) return more((line) => line.includes('|'))
  if (ITEM.test(first)) {
    return more((line, next = lines[at + 1] || '') => (line.trim() ? /^\s/.test(line) || ITEM.test(line) || !startsBlock(lines, at) : /^\s+\S/.test(next) || ITEM.test(next)))
  }
  return more((line) => line.trim() && !startsBlock(lines, at))
}

const isTable = (lines, at) => lines[at].includes('|') && DIVIDER.test(lines[at + 1] || '')
const startsBlock = (lines, at) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(lines[at])) || isTable(lines, at)

/** One raw block as an element. */
const block = (raw, cite, depth = 0) => {
  const lines = raw.split('\n')
  const [first] = lines
  const heading = HEADING.exec(first)
  if (depth > MAX_DEPTH) return h('p', { dir: 'auto' }, raw)
  if (FENCE.test(first)) return h('pre', { dir: 'ltr', tabindex: 0 }, h('code', null, lines.slice(1, FENCE.test(lines.at(-1)) && lines[1] != null ? -1 : undefined).join('\n')))
  if (heading) return h('p', { class: 'heading', dir: 'auto' }, ...inline(heading[2], cite))
  if (RULE.test(first)) return h('hr')
  if (QUOTE.test(first)) return h('blockquote', null, ...inside(lines.map((line) => line.replace(QUOTE, '')).join('\n'), cite, depth))
  if (isTable(lines, 0)) return table(lines, cite)
  if (ITEM.test(first)) return list(lines, cite, depth)
  return h('p', { dir: 'auto' }, ...inline(lines.map((line) => line.trim()).join('\n'), cite))
}

const inside = (text, cite, depth) => blocks(text).map((raw) => block(raw, cite, depth + 1))

const list = (lines, cite, depth) => {
  const [, indent, bullet] = ITEM.exec(lines[0])
  const items = []
  for (const line of lines) {
    const start = ITEM.exec(line)
    if (start && start[1].length <= indent.length + 1) items.push([line.slice(start[0].length)])
    else items.at(-1).push(line.replace(/^( {1,4}|\t)/, ''))
  }
  const ordered = /\d/.test(bullet)
  return h(ordered ? 'ol' : 'ul', { dir: 'auto', start: ordered && parseInt(bullet) !== 1 && parseInt(bullet) }, ...items.map((item) => {
    const parts = inside(item.join('\n'), cite, depth)
    if (parts[0] && parts[0].tagName === 'P') parts[0] = h('span', null, ...parts[0].childNodes)
    return h('li', { dir: 'auto' }, ...parts)
  }))
}

const table = ([head, , ...rows], cite) => {
  const cells = (line, tag) =>
    line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((cell) => h(tag, { dir: 'auto', scope: tag === 'th' && 'col' }, ...inline(cell.trim().replace(/\\\|/g, '|'), cite)))
  return h('div', { class: 'table', tabindex: 0 }, h('table', null, h('thead', null, h('tr', null, ...cells(head, 'th'))), h('tbody', null, ...rows.map((row) => h('tr', null, ...cells(row, 'td'))))))
}

/** Text that is still growing, with the half-typed mark at its end left out and open code or bold closed. */
const settled = (text) => {
  const steady = text.replace(/(!?\[[^\]\n]{0,80}(\](\([^)\n]{0,300})?)?|[*_~`]{1,3}|\\)$/, '')
  const tail = steady.slice(steady.lastIndexOf('\n') + 1)
  const odd = (sign) => tail.split(sign).length % 2 === 0
  if (FENCE.test(tail)) return steady
  return steady + (odd('`') ? '`' : odd('**') ? '**' : '')
}

/** Draws a growing answer into `root`: `draw(text, live)` touches only the blocks that changed. */
const markdown = (root, cite) => {
  let drawn = []
  return (text, live) => {
    const now = blocks(live ? settled(text) : text)
    let same = 0
    while (same < now.length && now[same] === drawn[same]) same++
    while (root.childNodes.length > same) root.lastChild.remove()
    for (const raw of now.slice(same)) root.append(block(raw, cite))
    drawn = now
  }
}

/** An answer as plain words, for the clipboard's and the screen reader's sake. */
const plain = (text) =>
  text
    .replace(/!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)/g, '$1')
    .replace(/ ?\[\d{1,2}(, ?\d{1,2})*\]/g, '')
    .replace(/^\s*(```.*|#{1,6} |> ?|\|?[-:| ]+\|[-:| ]*$)/gm, '')
    .replace(/\*\*|__|~~|`/g, '')
