/**
 * Options as they were given, without what somebody added to `Object.prototype`: a property of that name would be read
 * where the option is left out. Anything that is not an object is returned as it is.
 */
export function ownOptions<T> (given: T): T {
  if (typeof given !== 'object' || given === null) return given
  const own = Object.create(null) as Record<string, unknown>
  // An instance of a class may have its options on a prototype of its own.
  for (let holder: object | null = given; holder !== null && holder !== Object.prototype; holder = Object.getPrototypeOf(holder) as object | null) {
    for (const name of Object.getOwnPropertyNames(holder)) if (!(name in own)) own[name] = (given as Record<string, unknown>)[name]
  }
  return own as T
}
