// What OHIF is told here: one source of images, the node itself, and that this is research.
// It takes the place of the file of the same name in the release, whose images lie elsewhere.
// Where the files of this release lie; the page says so.
window.PUBLIC_URL = document.currentScript.dataset.base;
window.browserImportFunction = address => import(address);
const SAID = {
  en: ['Your session has ended: nothing more is loaded.', 'Log in again'],
  zh: ['您的会话已结束，不再加载任何内容。', '重新登录'],
};
const words = SAID[document.documentElement.dataset.language] ?? SAID.en;
// What is on the screen, and what was measured on it, stays until the person has seen this.
function tellThatTheSessionHasEnded() {
  if (document.getElementById('session-ended')) {
    return;
  }
  const bar = document.createElement('div');
  bar.id = 'session-ended';
  bar.setAttribute('role', 'alert');
  bar.style.cssText =
    'position: fixed; inset: 0 0 auto 0; z-index: 2147483647; padding: 0.75rem; text-align: center;' +
    'background: #7f1d1d; color: #fff; font: 1rem/1.4 system-ui, sans-serif';
  const onward = document.createElement('a');
  // The login leads back to what is shown now.
  onward.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  onward.textContent = words[1];
  onward.style.cssText = 'color: inherit; font-weight: bold; text-decoration: underline';
  bar.append(`${words[0]} `, onward);
  document.body.append(bar);
}
window.config = {
  name: 'dicom_ai_node',
  routerBasename: '/viewer',
  extensions: [],
  modes: [],
  // The tour through the tools would lie over the images of everybody who comes for the first time.
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  // A segmentation that is opened is shown at once.
  disableConfirmationPrompts: true,
  showStudyList: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  showErrorDetails: 'production',
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  investigationalUseDialog: { option: 'always' },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 20, thumbnail: 4, prefetch: 6 },
  // Also called when a slice is no longer waited for; without it that would be an error.
  httpErrorHandler: error => {
    console.warn('not loaded', error?.status ?? '');
    if (error?.status === 401) {
      tellThatTheSessionHasEnded();
    }
  },
  defaultDataSourceName: 'node',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'node',
      configuration: {
        friendlyName: 'This node',
        name: 'node',
        qidoRoot: `${window.location.origin}/dicom-web`,
        wadoRoot: `${window.location.origin}/dicom-web`,
        wadoUriRoot: `${window.location.origin}/dicom-web`,
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        supportsReject: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        bulkDataURI: { enabled: true, relativeResolution: 'studies' },
      },
    },
  ],
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement(
        'a',
        { href: '/', className: 'text-highlight text-sm', style: { whiteSpace: 'nowrap' } },
        'dicom_ai_node · research use, not for diagnosis'
      ),
  },
};
