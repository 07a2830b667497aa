/**
 * An element with attributes and children; a string child becomes a text node, so data never becomes markup.
 * `on…` attributes are listeners; false, null and undefined leave an attribute out.
 */
const h = (tag, attributes, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value == null) continue
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else node.setAttribute(name, value === true ? '' : value)
  }
  node.append(...children)
  return node
}

const SHAPES = {
  chat: 'M21 11.5a8.4 8.4 0 0 1-8.5 8.3 8.7 8.7 0 0 1-3.9-.9L3 20.5l1.7-4.9A8.1 8.1 0 0 1 4 11.5a8.4 8.4 0 0 1 8.5-8.3 8.4 8.4 0 0 1 8.5 8.3z',
  help: 'M9.2 9a2.9 2.9 0 1 1 4 2.7c-.8.4-1.2 1-1.2 1.8v.5M12 17.2v.1M22 12a10 10 0 1 1-20 0 10 10 0 0 1 20 0z',
  spark: 'M12 3l1.9 5.6a2.5 2.5 0 0 0 1.5 1.5L21 12l-5.6 1.9a2.5 2.5 0 0 0-1.5 1.5L12 21l-1.9-5.6a2.5 2.5 0 0 0-1.5-1.5L3 12l5.6-1.9a2.5 2.5 0 0 0 1.5-1.5z',
  close: 'M6 9l6 6 6-6',
  cross: 'M6 6l12 12M18 6L6 18',
  send: 'M12 19V5M5.5 11.5L12 5l6.5 6.5',
  stop: 'M7 7h10v10H7z',
  more: 'M5 12h.1M12 12h.1M19 12h.1',
  fresh: 'M12 5v14M5 12h14',
  bin: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  tick: 'M5 12.5l4.5 4.5L19 7.5',
  up: 'M7 11v9H4v-9zM7 11l4-8a2.5 2.5 0 0 1 2.5 2.5V9H19a2 2 0 0 1 2 2.3l-1.2 7A2 2 0 0 1 17.800 20H7',
  down: 'M17 13V4h3v9zM17 13l-4 8a2.500 2.500 0 0 1-2.500-2.500V15H5a2 2 0 0 1-2-2.300l1.200-7A2 2 0 0 1 6.200 4H17',
  page: 'M14 3H6v18h12V7zM14 3v4h4M9 12h6M9 16h6',
  retry: 'M4 12a8 8 0 1 1 2.500 5.800M4 20v-5h5',
}

/** One of SHAPES, drawn with strokes in the colour of the text around it. */
const icon = (name) => {
  const make = (tag, attributes) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
    for (const key in attributes) node.setAttribute(key, attributes[key])
    return node
  }
  const svg = make('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: `icon i-${name}` })
  svg.append(make('path', { d: SHAPES[name] }))
  return svg
}

const toggle = (node, attribute, on) => node.toggleAttribute(attribute, !!on)
