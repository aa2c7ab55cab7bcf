// What OHIF is told here: one source of images, the node itself, and that this is research.
// It takes the place of the file of the same name in the release, whose images lie elsewhere.
// Where the files of this release lie; the page says so.
window.PUBLIC_URL = document.currentScript.dataset.base;
window.browserImportFunction = address => import(address);
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
  httpErrorHandler: error => console.warn('not loaded', error?.status ?? ''),
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
