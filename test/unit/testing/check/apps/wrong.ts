// A factory that does not return an application.
export default (): number => 1
