// A factory that makes no application.
export default (): number => 1
