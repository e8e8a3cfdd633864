// An augmentation holds in the whole compilation: this one is that of every file of this repository. From outside it is
// written `declare module 'fastify-ctx'`, which test/repo/package.test.ts compiles in projects of their own.
import type { Present } from '../lib/types.ts'

export interface User { readonly id: string }

declare module '../lib/types.ts' {
  interface ContextValues {
    tenant: string
    user: User
    /** Each request has one. */
    locale: Present<string>
  }
}

declare module '@fastify/request-context' {
  interface RequestContextData {
    basket: readonly string[]
    /** Optional there, as many who use that package write it. */
    coupon?: number
  }
}
