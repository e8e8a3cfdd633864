/**
 * Returns options without properties of `Object.prototype`, which would be read for a missing option of the same name.
 * Anything that is not an object is returned unchanged.
 */
export function ownOptions<T> (given: T): T {
  if (typeof given !== 'object' || given === null) return given
  const own = Object.create(null) as Record<string, unknown>
  // An instance of a class may have its options on its own prototype.
  for (let holder: object | null = given; holder !== null && holder !== Object.prototype; holder = Object.getPrototypeOf(holder) as object | null) {
    for (const name of Object.getOwnPropertyNames(holder)) if (!(name in own)) own[name] = (given as Record<string, unknown>)[name]
  }
  return own as T
}
