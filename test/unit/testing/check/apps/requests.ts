// Requests of a file: functions, as assertIsolated takes them.
import type { MakeRequest } from '../../../../../lib/testing/sent-request.ts'

const list: MakeRequest[] = [(canary) => ({ url: '/orders', headers: { 'x-tenant-id': canary } })]
export default list
