// The default theme with the fonts of the system: no font is fetched.
import theme from 'vitepress/theme-without-fonts'
import './style.css'

export default theme
