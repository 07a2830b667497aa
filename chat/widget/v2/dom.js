/**
 * An element with attributes and children; a string child becomes a text node, so data never becomes markup.
 * `on…` attributes are listeners; false, null and undefined leave an attribute out.
 */
const h = (tag, attributes, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else if (value === true) node.setAttribute(name, '')
    else if (value !== false && value != null) node.setAttribute(name, value)
  }
  node.append(...children)
  return node
}

const SHAPES = {
  chat: 'M21 11.5a8.5 8.5 0 0 1-12.4 7.5L3 20.5l1.7-4.9A8.5 8.5 0 1 1 21 11.5z',
  hide: 'M6 9l6 6 6-6',
  close: 'M6 6l12 12M18 6L6 18',
  send: 'M12 19V5M5 12l7-7 7 7',
  stop: 'M7 7h10v10H7z',
  menu: 'M5 12h.1M12 12h.1M19 12h.1',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  copied: 'M5 12l5 5 9-9',
  up: 'M7 11v9H4v-9zl4-8a2.5 2.5 0 0 1 2.5 2.5V9H19a2 2 0 0 1 2 2.3l-1.2 7A2 2 0 0 1 18 20H7',
}

SHAPES.down = SHAPES.up // turned round by the style sheet

/** One of SHAPES, drawn with strokes in the colour of the text around it. */
const icon = (name) => {
  const [svg, path] = ['svg', 'path'].map((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag))
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', true)
  svg.setAttribute('class', 'icon i-' + name)
  path.setAttribute('d', SHAPES[name])
  svg.append(path)
  return svg
}

/** A button that shows only an icon. */
const tool = (shape, label, onclick, attributes) =>
  h('button', { class: 'tool', 'aria-label': label, title: label, onclick, ...attributes }, icon(shape))
