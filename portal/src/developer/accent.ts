/** Relative luminance of WCAG 2.2. */
function luminance([r, g, b]: number[]): number {
  const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

function contrast(a: number[], b: number[]): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

const bytes = (hex: string) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const hex = (rgb: number[]) => `#${rgb.map((v) => Math.round(v).toString(16).padStart(2, '0')).join('')}`;

/** The colour, moved towards black or white until texts of it can be read on the background: 4.5 to 1 is WCAG's, with a margin for hover. */
export function readable(color: string, background: string): string {
  const on = bytes(background);
  const towards = luminance(on) > 0.4 ? 0 : 255;
  let rgb = bytes(color);
  for (let step = 0; step < 40 && contrast(rgb, on) < 5.5; step++) rgb = rgb.map((v) => v + (towards - v) * 0.1);
  return hex(rgb);
}

/** The publisher's colour for links and buttons, in light and in dark. Set by script, because the policy allows no style attributes in HTML. */
export function showAccent(color: string | null | undefined, scheme: 'light' | 'dark') {
  const { style } = document.documentElement;
  const names = ['--mantine-color-anchor', '--mantine-primary-color-filled', '--mantine-primary-color-filled-hover', '--mantine-primary-color-contrast'];
  if (!color || !/^#[0-9a-f]{6}$/i.test(color)) {
    for (const name of names) style.removeProperty(name);
    return;
  }
  const filled = readable(color, '#ffffff');
  style.setProperty('--mantine-color-anchor', readable(color, scheme === 'dark' ? '#242424' : '#ffffff'));
  style.setProperty('--mantine-primary-color-filled', filled);
  style.setProperty('--mantine-primary-color-filled-hover', hex(bytes(filled).map((v) => v * 0.85)));
  style.setProperty('--mantine-primary-color-contrast', '#ffffff');
}
