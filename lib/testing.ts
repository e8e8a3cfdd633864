/**
 * For tests of applications: a scope around a test, and a check that no request sees the values of another.
 *
 * @module fastify-ctx/testing
 */
export { withContext } from './testing/with-context.ts'
export { assertIsolated, type Isolation, type IsolationOptions } from './testing/isolation.ts'
export type { IsolationError } from './testing/report.ts'
export type { Crossing, FiredRequest } from './testing/crossing.ts'
export type { IsolationRequest, MakeRequest } from './testing/sent-request.ts'
