// An augmentation applies to the whole compilation: this one to every file of this repository. Outside it is written `declare module 'fastify-ctx'`, which
// test/repo/package.test.ts compiles in separate projects.
import type { Present } from '../lib/types.ts'

export interface User { readonly id: string }

declare module '../lib/types.ts' {
  interface ContextValues {
    tenant: string
    user: User
    /** Present in each request. */
    locale: Present<string>
  }
}

declare module '@fastify/request-context' {
  interface RequestContextData {
    basket: readonly string[]
    /** Optional in that package, as many of its users write it. */
    coupon?: number
  }
}
