/** A field within the text of bindings, such as `,"a":1,"b":{"c":2}`: its name, and from where to where it stands. */
interface Member { readonly name: string, readonly start: number, readonly end: number }

/** The fields in a text of bindings. Fields of nested objects are not included. Text that is not JSON gives some fields or none, but never throws. */
export function membersOf (bindings: string): Member[] {
  const members: Member[] = []
  let name: string | undefined
  let start = 0
  let depth = 0
  for (let i = 0; i <= bindings.length; i++) {
    const character = bindings[i]
    if (character === '"') {
      const from = i + 1
      for (i = from; i < bindings.length && bindings[i] !== '"'; i++) if (bindings[i] === '\\') i++
      if (depth === 0) name ??= bindings.slice(from, i)
    } else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') depth--
    else if (character === undefined || (character === ',' && depth === 0)) {
      if (name !== undefined) members.push({ name, start, end: i })
      name = undefined
      start = i
    }
  }
  return members
}

/** Whether a text of bindings may have a field of this name. Text within values, or at another depth, counts as well. */
export function mayName (bindings: string, name: string): boolean {
  return bindings.includes(`"${name}":`)
}

/** Whether a text of bindings has a field of this name. */
export function hasField (bindings: string, name: string): boolean {
  return mayName(bindings, name) && membersOf(bindings).some((member) => member.name === name)
}

/** A text of bindings with this field, once: in its place if it is there, at the end otherwise. */
export function setField (bindings: string, name: string, field: string): string {
  const members = membersOf(bindings)
  const same = members.filter((member) => member.name === name)
  if (same.length === 1 && bindings.slice(same[0]!.start, same[0]!.end) === field) return bindings
  let text = ''
  for (const member of members) if (member.name !== name) text += bindings.slice(member.start, member.end)
  return text + field
}
