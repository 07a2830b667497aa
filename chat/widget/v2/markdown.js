/*
 * Markdown to DOM nodes. Nothing here parses HTML: every piece of an answer ends as a text node, or as one of the
 * elements made below, so an answer can't bring in a script, a handler or an image. Every search within a line is
 * bounded, so that hostile text costs no more than long text.
 */

const MAX_DEPTH = 6
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+/
const FENCE = /^\s{0,3}(```|~~~)/
const HEADING = /^\s{0,3}#{1,6}\s+(.*?)\s*#*$/
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/
const DIVIDER = /^\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?)?\s*$/
const QUOTE = /^\s{0,3}>\s?/

const INLINE = new RegExp(
  [
    /\\([!-/:-@[-`{-~])/, // 1 an escaped mark
    /(`{1,3})([^\n]{1,500}?)\2(?!`)/, // 3 code
    /(!?)\[([^[\]\n]{0,300})\]\(([^\s()]{0,2000}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)[^)\n]{0,200}\)/, // 5, 6 a link or (4) image
    /\[(\d{1,2}(?:, ?\d{1,2}){0,9})\]/, // 7 citation marks
    /(?<!\w)(\*{1,3}|_{1,3})(?![\s*_])([^\n]{0,999}?[^\s*_])\8(?!\w)/, // 9 bold or italic
    /<?(https?:\/\/[^\s<>"`*\]]{1,2000})>?/, // 10 a bare address
    /<br ?\/?>|\n/,
  ]
    .map((part) => part.source)
    .join('|'),
  'g',
)

/** A link where following the address is harmless (web, mail, telephone). Relative ones are the page's own. */
const link = (address, children) => {
  try {
    const { protocol, origin, href } = new URL(address, location.href)
    if (/^(https?|mailto|tel):$/.test(protocol)) return h('a', { href, rel: 'noopener nofollow', target: origin !== location.origin && '_blank' }, ...children)
  } catch {
    /* no address */
  }
  return h('span', null, ...children)
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

const mark = ([, literal, , code, image, label, address, numbers, strength, inner, bare], cite, draw) => {
  if (literal) return [literal]
  if (code) return [h('code', null, code)]
  if (label != null) return [image ? label : link(address, draw(label))] // no picture is loaded: its description stands for it
  if (numbers) return numbers.split(',').map((number) => cite(+number))
  if (inner) return [h(strength[1] ? 'strong' : 'em', null, ...draw(inner))]
  if (bare) {
    const end = bare.replace(/[.,;:!?'")]+$/, '')
    return [link(end, [end]), bare.slice(end.length)]
  }
  return [h('br')]
}

/** An answer's blocks as raw text, so that a block which did not change while streaming is not drawn again. */
const blocks = (text) => {
  const lines = text.replace(/\r\n?/g, '\n').split('\n')
  const found = []
  for (let at = 0; at < lines.length; ) {
    const end = lines[at].trim() ? blockEnd(lines, at) : at + 1
    if (lines[at].trim()) found.push(lines.slice(at, end).join('\n'))
    at = end
  }
  return found
}

const isTable = (lines, at) => lines[at].includes('|') && DIVIDER.test(lines[at + 1])
const begins = (lines, at) => isTable(lines, at) || [FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(lines[at]))

/** The index after the last line of the block that begins at `at`. */
const blockEnd = (lines, at) => {
  const first = lines[at]
  const table = isTable(lines, at++)
  const past = (test) => {
    while (at < lines.length && test(lines[at])) at++
    return at
  }
  if (FENCE.test(first)) return past((line) => !line.startsWith(FENCE.exec(first)[0])) + 1
  if (HEADING.test(first) || RULE.test(first)) return at
  if (QUOTE.test(first)) return past((line) => QUOTE.test(line))
  if (table) return past((line) => line.includes('|'))
  if (!ITEM.test(first)) return past((line) => line.trim() && !begins(lines, at))
  const [, indent, bullet] = ITEM.exec(first)
  return past((line) => {
    const next = line.trim() ? line : lines[at + 1]
    const [, deep, sign] = ITEM.exec(next) || []
    // Another list begins where numbers take turns with bullets, which are one character.
    if (sign) return deep.length > indent.length + 1 || !sign[1] === !bullet[1]
    return /^\s+\S/.test(next) || (line === next && !begins(lines, at))
  })
}

/** One raw block as an element. */
const block = (raw, cite, depth = 0) => {
  const lines = raw.split('\n')
  const [first] = lines
  const paragraph = (text, className) => h('p', { dir: 'auto', class: className }, ...inline(text, cite))
  const inside = (text) => blocks(text).map((part) => block(part, cite, depth + 1))
  if (depth > MAX_DEPTH) return h('p', null, raw)
  if (FENCE.test(first)) return h('pre', { dir: 'ltr', tabindex: 0 }, lines.slice(1, FENCE.test(lines[1] && lines.at(-1)) ? -1 : undefined).join('\n'))
  if (HEADING.test(first)) return paragraph(HEADING.exec(first)[1], 'heading')
  if (RULE.test(first)) return h('hr')
  if (QUOTE.test(first)) return h('blockquote', null, ...inside(lines.map((line) => line.replace(QUOTE, '')).join('\n')))
  if (isTable(lines, 0)) return table(lines, cite)
  if (ITEM.test(first)) return list(lines, inside)
  return paragraph(lines.map((line) => line.trim()).join('\n'))
}

const list = (lines, inside) => {
  const [, indent, bullet] = ITEM.exec(lines[0])
  const items = []
  for (const line of lines) {
    const start = ITEM.exec(line)
    if (start && start[1].length < indent.length + 2) items.push(line.slice(start[0].length))
    else items[items.length - 1] += '\n' + line.replace(/^ {1,4}|^\t/, '')
  }
  const number = parseInt(bullet)
  return h(number >= 0 ? 'ol' : 'ul', { dir: 'auto', start: number > 1 && number }, ...items.map((item) => {
    const parts = inside(item)
    if (parts[0]?.tagName === 'P') parts[0] = h('span', null, ...parts[0].childNodes)
    return h('li', null, ...parts)
  }))
}

const table = ([head, , ...rows], cite) => {
  const row = (line, tag) =>
    h('tr', null, ...line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((cell) => h(tag, null, ...inline(cell.trim(), cite))))
  return h('div', { class: 'table', tabindex: 0 }, h('table', { dir: 'auto' }, h('thead', null, row(head, 'th')), h('tbody', null, ...rows.map((line) => row(line, 'td')))))
}

/** Text that is still growing, with the half-typed mark at its end left out and open code or bold closed. */
const settled = (text) => {
  const steady = text.replace(/(!?\[[^\]\n]{0,80}(\](\([^)\n]{0,300})?)?|[*_`]{1,3}|\\)$/, '')
  const tail = steady.slice(steady.lastIndexOf('\n') + 1)
  const open = ['`', '**'].find((sign) => tail.split(sign).length % 2 === 0)
  return open && !FENCE.test(tail) ? steady + open : steady
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
