import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import cs from '../i18n/cs.json';

/**
 * English texts are their own keys; `npm run languages` fails when a translation of one is missing. `more` are Czech
 * texts that only one portal shows, so that the other does not load them.
 */
export function initLanguage(more: Record<string, string> = {}) {
  const chosen = document.cookie.match(/(?:^|; )portico_language=(\w+)/)?.[1];
  const language = chosen ?? (navigator.language.startsWith('cs') ? 'cs' : 'en');
  void i18next.use(initReactI18next).init({
    lng: language,
    fallbackLng: false,
    keySeparator: false,
    nsSeparator: false,
    resources: { cs: { translation: { ...cs, ...more } } },
    interpolation: { escapeValue: false },
  });
  document.documentElement.lang = language;
}

export function setLanguage(language: string) {
  document.cookie = `portico_language=${language}; path=/; max-age=31536000; samesite=strict`;
  document.documentElement.lang = language;
  void i18next.changeLanguage(language);
}
