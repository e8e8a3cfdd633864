/** Whether two types are identical: `any` equals only `any`, and `readonly` and `?` count. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** The names of members of `T` that are `any`, or functions that return or take `any`. */
export type AnyIn<T> = { [K in keyof T]-?: IsAny<T[K]> extends true ? K : T[K] extends (...args: infer A) => infer R ? (true extends IsAny<R> | IsAny<A[number]> ? K : never) : never }[keyof T]

type IsAny<T> = 0 extends 1 & T ? true : false

/**
 * Compares the type of a value with the expected one in both directions, so that `any` never passes for another type.
 *
 * @example
 * expectType<string | undefined>().of(ctx.get('tenant'))
 */
export declare function expectType<Expected> (): {
  of<Actual>(actual: Actual, ...refused: Equal<Actual, Expected> extends true ? [] : [expected: Expected]): void
}

/** The same for a type without a value: `expectEqual<KeyOf<Values>, 'requestId'>(true)`. */
export declare function expectEqual<A, B> (equal: Equal<A, B>): void

export function anyNeverPassesForAnotherType (some: any) {
  expectEqual<AnyIn<{ a: any, b: () => any, c: (c: any) => void, d: unknown, e: () => unknown }>, 'a' | 'b' | 'c'>(true)
  expectType<any>().of(some)

  // as the actual type
  // @ts-expect-error
  expectType<string>().of(some)

  // as the expected one
  // @ts-expect-error
  expectType<any>().of('acme')

  // deeper down
  // @ts-expect-error
  expectType<{ id: string }>().of({ id: some })
}
