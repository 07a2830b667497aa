/**
 * What the visitor's browser keeps for one client: {id, token, running}. It lapses `hours` after its last change.
 * Where storage is blocked or full, the same lives in memory until the page is left.
 */
const openStore = (name, hours) => {
  let memory = {}
  const read = () => {
    let value
    try {
      value = JSON.parse(localStorage.getItem(name))
    } catch {
      value = memory
    }
    return value?.until > Date.now() ? value : {}
  }
  const keep = (patch) => {
    memory = { ...read(), ...patch, until: Date.now() + hours * 36e5 }
    try {
      localStorage.setItem(name, JSON.stringify(memory))
    } catch {
      /* memory has it */
    }
  }
  const forget = () => {
    memory = {}
    try {
      localStorage.removeItem(name)
    } catch {
      /* never kept there */
    }
  }
  return { read, keep, forget }
}

/** A random UUID. crypto.randomUUID is missing on pages without TLS; an object's address has one everywhere. */
const uuid = () => {
  const address = URL.createObjectURL(new Blob())
  URL.revokeObjectURL(address)
  return address.slice(-36)
}
