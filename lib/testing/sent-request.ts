import type { OutgoingHttpHeaders } from 'node:http'
import { gate } from './gate.ts'

/** A request that `assertIsolated` sends. */
export interface IsolationRequest {
  /** Default `GET`. */
  readonly method?: string
  /** The path, with the query: `/orders?page=1`. */
  readonly url: string
  /** By name; a list for a header that is sent more than once. */
  readonly headers?: { readonly [name: string]: string | readonly string[] }
  /** A string or bytes are sent unchanged; anything else as JSON. */
  readonly body?: unknown
}

/**
 * Makes a request that contains the canary where the application reads a value: a tenant header, a token, a part of the path or
 * the body. It may be async, to log in or to create what the request reads.
 */
export type MakeRequest = (canary: string) => IsolationRequest | Promise<IsolationRequest>

/** A response. */
export interface Answer {
  readonly status: number
  /** In order of arrival. A name may appear more than once. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/** One request of a run: its plan and its result. */
export class SentRequest {
  readonly number: number
  readonly canary: string
  readonly request: IsolationRequest
  /** Which of the functions made it. */
  readonly index: number
  /** The pieces in which the body is sent; empty without a body. */
  readonly pieces: readonly Buffer[]
  /** Whether the body has no content-length. */
  readonly chunked: boolean
  /** The pause before the next request, in milliseconds. */
  readonly wait: number
  /** Resolves once the server has its headers. */
  readonly arrived: Promise<void>
  readonly arrive: () => void
  hasArrived = false
  answer: Answer | undefined = undefined
  failure: unknown = undefined
  /** The pattern of its route, if the request had a scope. */
  route: string | undefined = undefined
  /** Whether its own canary appeared in a place that is checked for others. */
  seen = false

  constructor (number: number, canary: string, request: IsolationRequest, index: number, sending: Pick<SentRequest, 'pieces' | 'chunked' | 'wait'>) {
    this.number = number
    this.canary = canary
    this.request = request
    this.index = index
    this.pieces = sending.pieces
    this.chunked = sending.chunked
    this.wait = sending.wait
    const { promise, open } = gate()
    this.arrived = promise
    this.arrive = () => {
      this.hasArrived = true
      open()
    }
  }

  get method (): string {
    return this.request.method?.toUpperCase() ?? 'GET'
  }
}

/** The bytes of a body. */
export function bytesOf (body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0)
  if (body instanceof Uint8Array) return Buffer.from(body)
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** The headers of a request, with the content type of a body that is sent as JSON. */
export function headersOf ({ headers = {}, body }: IsolationRequest): OutgoingHttpHeaders {
  const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)
  const isTyped = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
  // Node accepts a read-only list as well.
  return { ...headers as OutgoingHttpHeaders, ...(isJson && !isTyped ? { 'content-type': 'application/json' } : {}) }
}
