type Method = (this: any, ...args: any[]) => any

const replacing = new WeakSet<Method>()

/** Marks a method of ours that replaces one of the host. */
export function markReplacing<M extends Method> (method: M): M {
  replacing.add(method)
  return method
}

/** Whether a method is one of ours. */
export function isReplacing (method: Method): boolean {
  return replacing.has(method)
}

/**
 * Replaces a method of one object by one that looks the same. Objects that inherit from it, such as the encapsulated
 * instances of an application, get the new one, too.
 *
 * @param make gets the current method
 * @returns a function that reverts this, unless another tool has replaced ours since
 */
export function replaceMethod (object: object, name: string, make: (before: Method) => Method): () => void {
  const holder = object as Record<string, Method>
  const descriptor = Object.getOwnPropertyDescriptor(object, name)
  const before = holder[name]!
  const ours = make(before)
  Object.defineProperties(ours, { name: { value: before.name }, length: { value: before.length } })
  Object.defineProperty(object, name, { value: ours, writable: true, configurable: true, enumerable: isEnumerable(object, name) })
  return () => {
    if (holder[name] !== ours) return
    if (descriptor === undefined) Reflect.deleteProperty(holder, name)
    else Object.defineProperty(holder, name, descriptor)
  }
}

/** Whether a property is enumerable where it stands: on an object or on one of its prototypes. */
function isEnumerable (object: object, name: string): boolean {
  let holder = object
  while (!Object.hasOwn(holder, name)) holder = Object.getPrototypeOf(holder) as object
  return Object.prototype.propertyIsEnumerable.call(holder, name)
}
