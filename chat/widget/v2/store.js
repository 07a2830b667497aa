/**
 * What the visitor's browser keeps for one client: {id, token, running}. It lapses `hours` after its last change.
 * Where storage is blocked, the same lives in memory until the page is left.
 */
const openStore = (name, hours) => {
  let memory = null
  const storage = () => {
    try {
      return window.localStorage
    } catch {
      return null
    }
  }
  const write = (value) => {
    memory = value
    try {
      if (value) storage().setItem(name, JSON.stringify(value))
      else storage().removeItem(name)
    } catch {
      /* blocked or full: memory has it */
    }
  }
  const read = () => {
    let value = memory
    try {
      value = JSON.parse(storage().getItem(name))
    } catch {
      /* blocked or damaged: what memory has */
    }
    return value && value.until > Date.now() ? value : {}
  }
  return {
    read,
    keep: (patch) => write({ ...read(), ...patch, until: Date.now() + hours * 36e5 }),
    forget: () => write(null),
  }
}

/** A version 4 UUID; crypto.randomUUID is missing on pages without TLS. */
const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = (bytes[6] & 15) | 64
  bytes[8] = (bytes[8] & 63) | 128
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
