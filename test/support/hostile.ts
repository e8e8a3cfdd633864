/** Values that a client may send to inject markup or code into the page that shows them. */
export const HOSTILE = [
  '<img src=x onerror="document.title=\'hit\'">',
  '</script><script>document.title="hit"</script>',
  '"><svg onload=document.title="hit">',
  "'-document.title='hit'-'",
  'javascript:document.title="hit"',
  '{{document.title="hit"}}',
  '&lt;script&gt;document.title="hit"&lt;/script&gt;'
] as const
