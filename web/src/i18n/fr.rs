//! French.

use web_bridge::status::Place;

use super::Text;

pub(crate) static FRENCH: Text = Text {
    byte_units: ["o", "ko", "Mo", "Go", "To"],

    skip: "Aller au contenu",
    navigation: "Menu principal",
    chat: "Discussion",
    network: "Réseau",
    share: "Inviter",
    settings: "Réglages",
    update_ready: "Une nouvelle version est prête.",
    update_now: "L’utiliser",

    link_offline: "Hors ligne",
    link_connecting: "Connexion…",
    link_connected: |peers| match peers {
        0 | 1 => format!("{peers} appareil en vue"),
        n => format!("{n} appareils en vue"),
    },

    welcome_title: "Un modèle de langage qui tourne chez nous tous",
    welcome_what: "Le modèle est trop grand pour votre appareil, mais pas pour tous les nôtres ensemble. \
        Prêtez la place d’un fragment, et chacun de ceux qui le font peut lui poser ses questions.",
    welcome_how: "Sans compte, sans carte graphique, sans rien installer.",
    welcome_mosaic: |mine, all| format!("Votre part : {mine} des {all} fragments du modèle"),
    lend_label: "Fragments à prêter",
    lend_hint: |size| format!("Au plus {size} de stockage"),
    lend_more: "Un de plus",
    lend_less: "Un de moins",
    fragments: |n| match n {
        0 | 1 => format!("{n} fragment"),
        n => format!("{n} fragments"),
    },
    quota_free: |free| format!("ce navigateur peut en céder {free}"),
    join: "Participer",
    join_small_print: "Votre appareil télécharge ses fragments, calcule avec eux pour les autres tant que cette page est ouverte, \
        et se connecte aux appareils des autres participants, qui voient son adresse IP.",
    no_swarm_title: "Quel réseau ?",
    no_swarm_what: "Cette page a été ouverte sans invitation et son serveur n’indique aucun réseau. \
        Demandez son lien d’invitation à un participant et collez-le ici.",
    no_swarm_label: "Lien d’invitation",
    no_swarm_bad: "Ce n’est pas un lien d’invitation : il devrait contenir « #model= » et « bootstrap= ».",
    no_swarm_use: "Utiliser ce lien",
    looking_for_swarm: "Recherche du réseau…",

    joining_title: "Arrivée dans le réseau",
    step_connect: "Joindre le réseau",
    step_manifest: "Lire le plan du modèle",
    step_small: "Chercher les petites pièces communes",
    step_lent: |n| match n {
        1 => "Chercher votre fragment".into(),
        n => format!("Chercher vos {n} fragments"),
    },
    step_done: "fait",
    step_now: "en cours",
    step_waiting: "à faire",
    progress_of: |have, total| format!("{have} sur {total}"),
    resumable: "Vous pouvez fermer cette page : le téléchargement reprendra où il s’est arrêté.",
    open_chat: "Ouvrir la discussion",
    connect_slow: "Personne ne répond encore. La page continue d’essayer. L’appareil qui vous invite est-il toujours en ligne ?",

    chat_title: "Discussion",
    chat_empty: "Demandez au réseau",
    examples_label: "Exemples pour commencer",
    examples: [
        "Qu’est-ce qu’un fragment ?",
        "Comment participer ?",
        "Que se passe-t-il quand un appareil s’en va ?",
        "Qui peut lire mes questions ?",
    ],
    input_label: "Votre message",
    input_placeholder: "Posez une question…",
    input_hint: "Entrée envoie, Maj + Entrée va à la ligne",
    send: "Envoyer",
    stop: "Arrêter",
    new_chat: "Nouvelle discussion",
    you: "Vous",
    model: "Le modèle",
    thoughts: "Ce que le modèle a d’abord pensé",
    thinking: "Le réseau calcule…",
    reading: |read, total| format!("Le réseau lit la question : {read} tokens sur {total}"),
    waiting_for: |list| format!("En attente d’un appareil qui garde {list}…"),
    chat_not_ready: "Vous pourrez poser vos questions dès que les petites pièces du modèle seront là.",
    chat_offline: "Vous pourrez poser vos questions dès que la connexion sera revenue.",
    speed: |number| format!("{number} tokens/s"),
    approximate_parts: |n, total| format!("approché : {n} parties sur {total}"),
    predicted: |speed| format!("{speed} prévus"),
    degraded: |n, total| format!("dégradé : un expert a manqué {n} fois sur {total}"),
    devices: |n| match n {
        0 | 1 => "calculé par 1 appareil".into(),
        n => format!("calculé par {n} appareils"),
    },
    tokens: |n| match n {
        0 | 1 => format!("{n} token"),
        n => format!("{n} tokens"),
    },
    first_token: |seconds| format!("premier mot après {seconds} s"),
    stopped: "arrêté",
    cut_short: "longueur maximale atteinte",
    retry: "Réessayer",
    copy: "Copier",
    copied: "Copié",

    dashboard_title: "Réseau",
    coverage_title: "Couverture du modèle",
    coverage_all: |n| format!("Les {n} fragments sont tous chez quelqu’un en vue."),
    coverage_missing: |missing, all| match missing {
        1 => format!("1 fragment sur {all} n’est chez personne en vue."),
        n => format!("{n} fragments sur {all} ne sont chez personne en vue."),
    },
    coverage_single: |n| match n {
        1 => "1 fragment n’est que sur un seul appareil.".into(),
        n => format!("{n} fragments ne sont que sur un seul appareil."),
    },
    coverage_unknown: "Pas encore connue : le plan du modèle n’est pas arrivé.",
    legend_none: "personne",
    legend_one: "un appareil",
    legend_more: "plusieurs",
    legend_mine: "à vous",
    peers_title: "Appareils",
    peers_none: "Aucun autre appareil en vue.",
    peer_direct: "direct",
    peer_relayed: "par relais",
    peer_answered: "pour vous",
    peer_asked: "par vous",
    peer_round_trip: |ms| format!("{ms} ms"),
    peer_traffic: |sent, received| format!("{sent} envoyés, {received} reçus"),
    peer_entry: "point d’entrée",
    peer_seed: |n| format!("en propose {n}"),
    mine_title: "Votre part",
    mine_none: "Cet onglet n’a pas encore de fragment.",
    answered_label: "calculs faits pour d’autres",
    asked_label: "calculs faits pour vous",
    held_label: "fragments prêtés",
    stored_label: "stockés dans ce navigateur",
    fragment_name: |n| format!("Fragment {n}"),
    place: |place| match place {
        Place::Embedding => "des mots aux vecteurs".into(),
        Place::Output => "des vecteurs aux mots".into(),
        Place::Small => "petites pièces".into(),
        Place::Attention(layer) => format!("attention, couche {layer}"),
        Place::FeedForward(layer) => format!("feed-forward, couche {layer}"),
        Place::Expert(layer, expert) => format!("expert {expert}, couche {layer}"),
        Place::Other => "autre".into(),
    },

    share_title: "Inviter quelqu’un",
    share_what: "Chaque appareil de plus renforce le modèle : un fragment gardé deux fois survit au départ de l’un des deux.",
    share_link_label: "Lien d’invitation",
    share_qr: "Code QR du lien d’invitation",
    share_send: "Envoyer…",
    share_text: "Rejoignez un modèle de langage qui tourne sur tous nos appareils ensemble :",
    share_none: "Il n’y a pas encore de réseau auquel inviter : rejoignez-en un d’abord.",
    share_private: "Ce réseau est privé : quiconque possède ce lien y entre. Ne l’envoyez qu’à des personnes de confiance.",
    share_loopback: "Cette adresse ne fonctionne que sur cet appareil. Pour inviter d’autres personnes, \
        ouvrez la page sous une adresse qu’elles peuvent joindre.",

    settings_title: "Réglages",
    language: "Langue",
    theme: "Apparence",
    theme_auto: "Comme l’appareil",
    theme_light: "Claire",
    theme_dark: "Sombre",
    lending_title: "Prêt",
    lending_hint: "Par onglet ouvert. Plus de fragments, plus d’aide ; effet immédiat.",
    storage_title: "Stockage",
    storage_used: |used, granted| {
        format!("{used} utilisés sur les {granted} que ce navigateur accorde.")
    },
    storage_unknown: "Ce navigateur ne dit pas combien de stockage il accorde.",
    storage_kept: "Le navigateur garde les fragments jusqu’à ce que vous les supprimiez.",
    storage_keep: "Garder durablement",
    storage_keep_hint: "Sinon, le navigateur peut supprimer les fragments quand le disque se remplit.",
    storage_keep_refused: "Le navigateur a refusé. Il accepte souvent une fois la page installée ou visitée régulièrement.",
    storage_tidy: "Supprimer ce qu’aucun onglet ne prête",
    storage_tidy_hint: "Libère de la place ; rien de ce qui sert ne disparaît.",
    answers_title: "Réponses",
    greedy: "Toujours le mot le plus probable",
    greedy_hint: "La même question reçoit alors la même réponse, mot pour mot.",
    approximate: "Accepter des réponses approchées de processeurs graphiques",
    approximate_hint: "Parfois plus rapide. Sans cela, une réponse est la même au bit près, quels que soient les appareils qui la calculent.",
    max_tokens: "Plus longue réponse, en tokens",
    cores_label: "Cœurs du processeur",
    cores_hint: "Nombre maximal qui calcule, pour les autres et pour vous. Moins, c’est un appareil moins chaud ; effet immédiat.",
    graphics: "Utiliser le processeur graphique",
    graphics_hint: "Pour qui accepte des réponses approchées, et seulement là où il est plus rapide. Il fait le travail \
        d’un cœur : moins vous prêtez de cœurs, plus grande est sa part.",
    graphics_found: |name| match name {
        "" => "Il y en a un, qui tait son nom.".into(),
        name => format!("Trouvé : {name}."),
    },
    graphics_off: "Désactivé.",
    graphics_idle: "Inutilisé : personne n’a encore demandé de réponse approchée.",
    graphics_compared: "En cours de comparaison avec le processeur.",
    graphics_in_use: "Utilisé : il est plus rapide pour une partie du travail.",
    graphics_slower: "Inutilisé : le processeur est plus rapide.",
    graphics_failed: |reason| format!("Inutilisé, car il a échoué : {reason}."),
    leave: "Quitter ce réseau",
    leave_hint: "Arrête le prêt et revient à l’accueil. Les fragments stockés restent jusqu’à ce que vous les supprimiez.",
    privacy_title: "Vie privée, en clair",
    privacy: [
        "Votre texte est découpé en tokens et recomposé sur votre appareil, et toutes les connexions sont chiffrées.",
        "Mais les appareils qui calculent pour vous reçoivent des nombres intermédiaires, et ceux qui gardent les tables \
            du vocabulaire reçoivent des morceaux de mots. Un opérateur déterminé pourrait en reconstituer une bonne partie de votre texte.",
        "Les appareils des participants voient mutuellement leurs adresses IP.",
        "N’écrivez donc rien ici que vous n’écririez pas sur une carte postale. Pour des textes sensibles, \
            montez votre propre réseau entre personnes de confiance.",
    ],
    background_title: "En arrière-plan",
    background: "Votre appareil n’aide que tant que cette page est ouverte. Les téléphones suspendent une page cachée après \
        quelques secondes ou minutes ; d’autres prennent alors le relais et aucune réponse n’est perdue.",
    about_title: "À propos",
    about: "Logiciel libre sous licence Apache 2.0.",
    about_peer: "Cet onglet",
    about_model: "Modèle",

    offline_title: "Pas de connexion au réseau",
    offline_what: |stored| {
        match stored {
        0 => "La page fonctionne sans réseau, mais il faut d’autres appareils pour répondre. Elle se reconnecte d’elle-même.".into(),
        1 => "1 fragment est stocké ici, rien n’est perdu. Il faut d’autres appareils pour répondre ; la page se reconnecte d’elle-même.".into(),
        n => format!(
            "{n} fragments sont stockés ici, rien n’est perdu. Il faut d’autres appareils pour répondre ; la page se reconnecte d’elle-même."
        ),
    }
    },
    problem_missing: |n, list| match n {
        1 => format!("Personne en vue ne garde cette partie du modèle en ce moment : {list}."),
        n => format!("Personne en vue ne garde ces {n} parties du modèle en ce moment : {list}."),
    },
    problem_missing_more: |n| format!("et {n} autres"),
    problem_missing_todo: "Attendez un appareil qui l’a, invitez quelqu’un, ou prêtez plus de fragments dans les réglages.",
    problem_quota: "Le navigateur n’accorde plus de stockage. Ce qui est stocké reste et continue de servir ; libérez de l’espace disque, \
        supprimez ce qu’aucun onglet ne prête, ou prêtez moins de fragments.",
    problem_storage: "Le stockage du navigateur ne fonctionne pas ici : aucun fragment ne peut être gardé. \
        Les fenêtres privées l’interdisent souvent ; un disque plein peut aussi en être la cause.",
    problem_unsupported: "Cette version ne sait pas exécuter ce modèle :",
    problem_too_long: |tokens, context| {
        format!(
            "La discussion est trop longue pour le modèle : {tokens} tokens, il peut en prendre en compte {context}. Commencez-en une nouvelle."
        )
    },
    problem_not_ready: "Le modèle n’est pas encore là. Attendez la fin de l’arrivée dans le réseau.",
    problem_other: "Quelque chose n’a pas marché :",
    problem_start: "Les processus de calcul de l’application ne tournent pas. Rechargez la page ; il faut un navigateur de 2023 ou plus récent.",
};
