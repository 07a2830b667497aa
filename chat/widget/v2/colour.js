/** Linear light of a #rrggbb colour's channels, and from it the relative luminance of WCAG 2.2. */
const luminance = (hex) =>
  [1, 3, 5].reduce((sum, at, i) => {
    const s = parseInt(hex.slice(at, at + 2), 16) / 255
    return sum + [0.2126, 0.7152, 0.0722][i] * (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4)
  }, 0)

const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (high + 0.05) / (low + 0.05)
}

/** The better of near-black and white on a colour: one of the two always reaches 4.5 : 1. */
const inkOn = (hex) => (contrast(hex, '#ffffff') >= 4.5 ? '#ffffff' : contrast(hex, '#101418') >= 4.5 ? '#101418' : '#000000')

const mix = (hex, other, part) =>
  '#' +
  [1, 3, 5]
    .map((at) => {
      const [x, y] = [hex, other].map((colour) => parseInt(colour.slice(at, at + 2), 16))
      return Math.round(x + (y - x) * part).toString(16).padStart(2, '0')
    })
    .join('')

/** `hex`, moved towards black or white just as far as text of that colour on `ground` needs for 4.5 : 1. */
const legibleOn = (hex, ground) => {
  const end = luminance(ground) > 0.18 ? '#000000' : '#ffffff'
  let part = 0
  while (contrast(mix(hex, end, part), ground) < 4.5 && part < 1) part += 0.05
  return mix(hex, end, part)
}
