/** The relative luminance of a #rrggbb colour and the contrast of two, as WCAG 2.2 defines them. */
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16))
const luminance = (hex) =>
  channels(hex)
    .map((value) => (value > 10 ? ((value / 255 + 0.055) / 1.055) ** 2.4 : value / 3294.6))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0)
const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05)

const WHITE = '#ffffff'
const BLACK = '#000000'

/** Black or white for text on a colour: one of the two always reaches 4.5 : 1. */
const inkOn = (hex) => (contrast(hex, WHITE) >= 4.5 ? WHITE : BLACK)

/** `hex`, moved towards black or white just as far as text of that colour on `ground` needs for 4.5 : 1. */
const legibleOn = (hex, ground) => {
  const end = channels(inkOn(ground))
  let mixed = hex
  for (let part = 0; contrast(mixed, ground) < 4.5; part += 0.05) {
    mixed = '#' + channels(hex).map((value, i) => Math.round(value + (end[i] - value) * part).toString(16).padStart(2, '0')).join('')
  }
  return mixed
}
